// Draws the plotly figures of a page. plotly.min.js (5 MB) is shared by all pages and read only where a figure stands.
(function () {
  "use strict";

  function draw(holder) {
    var source = holder.querySelector('script[type="application/json"]');
    var figure = JSON.parse(source.textContent);
    var layout = Object.assign({}, figure.layout, { autosize: true });
    delete layout.width; // the column decides
    return Plotly.newPlot(holder, figure.data, layout, { responsive: true, displaylogo: false });
  }

  function drawAll() {
    var holders = document.querySelectorAll(".page4d-plotly");
    if (!holders.length) return;
    var script = document.createElement("script");
    script.src = (document.documentElement.dataset.content_root || "./") + "_static/plotly.min.js";
    script.onload = function () { holders.forEach(draw); };
    document.head.appendChild(script);
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", drawAll);
  else drawAll();
})();
