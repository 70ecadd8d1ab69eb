// Draws the plotly figures of a page, in the colours of the page. plotly.min.js (5 MB) is shared by all pages and read
// only where a figure stands.
(function () {
  "use strict";

  var AXIS = /^(scene\d*|[xyz]axis\d*)$/;

  function inks() {
    var dark = document.documentElement.dataset.theme === "dark";
    return dark ? { words: "#ced6dd", lines: "#48566b", wall: "#1a1d21" } : { words: "#2a3f5f", lines: "#c8d4e3", wall: "#f4f4f2" };
  }

  // The same layout with grounds that let the page through, and words and lines that stand out against it.
  function dressed(layout) {
    var ink = inks();
    var axis = { gridcolor: ink.lines, zerolinecolor: ink.lines, linecolor: ink.lines };
    var done = Object.assign({}, layout, { paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)" });
    done.font = Object.assign({}, layout.font, { color: ink.words });
    Object.keys(layout).filter(function (key) { return AXIS.test(key); }).forEach(function (key) {
      if (key.indexOf("scene") !== 0) { done[key] = Object.assign({}, layout[key], axis); return; }
      done[key] = Object.assign({}, layout[key]);
      ["xaxis", "yaxis", "zaxis"].forEach(function (name) {
        done[key][name] = Object.assign({}, layout[key][name], axis, { backgroundcolor: ink.wall });
      });
    });
    return done;
  }

  function draw(holder) {
    var source = holder.querySelector('script[type="application/json"]');
    var figure = holder.page4d || JSON.parse(source.textContent);
    var layout = dressed(Object.assign({}, figure.layout, { autosize: true }));
    delete layout.width; // the column decides
    holder.page4d = figure;
    return Plotly.react(holder, figure.data, layout, { responsive: true, displaylogo: false });
  }

  function drawAll() {
    var holders = document.querySelectorAll(".page4d-plotly");
    if (!holders.length) return;
    var script = document.createElement("script");
    script.src = (document.documentElement.dataset.content_root || "./") + "_static/plotly.min.js";
    script.onload = function () {
      holders.forEach(draw);
      new MutationObserver(function () { holders.forEach(draw); })
        .observe(document.documentElement, { attributes: true, attributeFilter: ["data-theme"] });
    };
    document.head.appendChild(script);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", drawAll);
  else drawAll();
})();
