// Draws the plotly figures of a page, in the colours of the page. plotly.min.js (5 MB) is shared by all pages and read
// only where a figure stands.
(function () {
  "use strict";

  var AXIS = /^(scene\d*|[xyz]axis\d*)$/;

  function inks() {
    var dark = document.documentElement.dataset.theme === "dark";
    return dark ? { words: "#ced6dd", lines: "#48566b", wall: "#1a1d21" } : { words: "#2a3f5f", lines: "#c8d4e3", wall: "#f4f4f2" };
  }

  // A narrow holder shows a scene from farther away: plotly fits it to the height, and its sides would be cut.
  function stepBack(layout, wide, tall) {
    var back = Math.max(1, (1.1 * tall) / wide);
    Object.keys(layout).filter(function (key) { return key.indexOf("scene") === 0; }).forEach(function (key) {
      var camera = layout[key].camera;
      if (!camera || !camera.eye || back === 1) return;
      var eye = { x: camera.eye.x * back, y: camera.eye.y * back, z: camera.eye.z * back };
      layout[key] = Object.assign({}, layout[key], { camera: Object.assign({}, camera, { eye: eye }) });
    });
    return layout;
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
    // On a phone the height that suits a wide column would be half empty.
    if (layout.height) layout.height = Math.min(layout.height, Math.max(320, 1.15 * holder.clientWidth));
    if (layout.height) holder.style.height = layout.height + "px";
    stepBack(layout, holder.clientWidth || 1, holder.clientHeight);
    holder.page4d = figure;
    var config = { responsive: true, displaylogo: false };
    return Plotly.react(holder, { data: figure.data, layout: layout, frames: figure.frames, config: config });
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

  // A formula that is a little wider than a phone shrinks; one that is far wider scrolls in its own box.
  function fitFormulas() {
    document.querySelectorAll('mjx-container[display="true"] > svg').forEach(function (drawing) {
      var holder = drawing.parentElement, room = holder.clientWidth;
      function excess() { return drawing.getBoundingClientRect().width / (0.99 * room); }
      if (!room || 0.75 * excess() > 1) return;
      // More than once: its width follows the font's x-height, which a browser rounds.
      for (var turn = 0; turn < 3 && excess() > 1; turn++) {
        holder.style.setProperty("font-size", parseFloat(getComputedStyle(holder).fontSize) / excess() + "px", "important");
      }
    });
  }
  window.addEventListener("load", function () {
    if (window.MathJax && MathJax.startup) MathJax.startup.promise.then(fitFormulas);
  });
  window.addEventListener("resize", fitFormulas); // a phone is turned, or a page goes on paper

  // A command that wraps keeps its options whole: a browser breaks lines after any hyphen.
  function keepOptionsWhole() {
    document.querySelectorAll(".highlight-bash pre").forEach(function (listing) {
      var walker = document.createTreeWalker(listing, NodeFilter.SHOW_TEXT), texts = [], option = /(^|\s)(--?[a-z][\w-]*)/;
      while (walker.nextNode()) texts.push(walker.currentNode);
      texts.forEach(function (text) {
        for (var found; (found = option.exec(text.data)); ) {
          var start = text.splitText(found.index + found[1].length);
          text = start.splitText(found[2].length);
          var whole = document.createElement("span");
          whole.className = "page4d-held";
          start.replaceWith(whole);
          whole.append(start);
        }
      });
    });
  }
  window.addEventListener("DOMContentLoaded", keepOptionsWhole);

  // The theme lets the keyboard reach outputs that scroll, but not those that stand in a figure.
  function letKeysScroll() {
    document.querySelectorAll("figure > .output").forEach(function (output) {
      if (output.scrollWidth > output.clientWidth || output.scrollHeight > output.clientHeight) output.tabIndex = 0;
      else output.removeAttribute("tabindex");
    });
  }
  window.addEventListener("load", letKeysScroll);
  window.addEventListener("resize", letKeysScroll);

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", drawAll);
  else drawAll();
})();
