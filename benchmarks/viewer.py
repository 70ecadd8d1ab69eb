"""How fluid is the 4-D viewer, and would plotly do? Measured in headless Chromium on a page of 24 x 200,000 points.

    python benchmarks/viewer.py [--frames 24] [--repeat 3] [--plotly] [--out benchmarks/viewer.json]

First picture: from opening the file to the first finished drawing. Frame change: from asking for a frame until its
pixels can be read back, every frame once after all are decoded, without the thinning that slow machines get; the part
of it that is the page's own script is given too. The targets are 3 s, 150 ms and 60 MB. There is no graphics card in
headless Chromium: the page then draws points by the processor ("processor", what a reader gets there); "card" is the
shader path on software WebGL, a lower bound of what a graphics card does. Both are measured in turns.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from playwright.sync_api import Page, sync_playwright

from page4d.book.pdf import FLAGS
from page4d.result.cloud import CloudOptions, cloud_of
from page4d.result.exact import prediction_from_clip
from page4d.schema import Prediction
from page4d.viz.viewer import write_viewer
from page4d.viz.viewer_data import ViewerOptions
from page4d.world import split_clip

WINDOWS = {"window_1280": (1280, 860), "window_640": (640, 640)}
SIZE = (392, 518)  # 203,056 pixels, the network's own size for a 4:3 clip
CHANGE_FRAMES = """async ([mode, processor]) => {
  page4d.state.full = true;
  document.getElementById("mode").value = mode;
  await page4d.drawBy(processor);
  const gl = page4d.renderer.getContext(), pixel = new Uint8Array(4), change = [], script = [];
  const settled = () => new Promise((resume) => requestAnimationFrame(() => setTimeout(resume, 0)));
  for (let round = 0; round < 2; round++) for (let i = 0; i < page4d.data.names.length; i++) {
    const start = performance.now();
    await page4d.show(i);
    await settled();
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
    if (round) change.push(performance.now() - start);
    const again = performance.now();
    page4d.draw();
    if (round) script.push(performance.now() - again);
    gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, pixel);
  }
  return { change, script, canvas: [page4d.renderer.domElement.width, page4d.renderer.domElement.height] };
}"""
MODES = ("split", "frame", "all")
DRAWERS = {"processor": True, "card": False}
PLOTLY_FRAMES = """async (count) => {
  const times = [], plot = document.querySelector(".js-plotly-plot");
  for (let i = 1; i < count; i++) {
    const start = performance.now();
    await Plotly.animate(plot, [String(i)], {mode: "immediate", frame: {redraw: true, duration: 0}});
    const canvas = plot.querySelector("canvas"), gl = canvas.getContext("webgl");
    if (gl) gl.readPixels(0, 0, 1, 1, gl.RGBA, gl.UNSIGNED_BYTE, new Uint8Array(4));
    times.push(performance.now() - start);
  }
  return times;
}"""


def first_picture_s(page: Page, path: Path) -> float:
    """Seconds from opening the file to the first finished drawing."""
    start = time.perf_counter()
    page.goto(path.as_uri())
    page.wait_for_function("window.page4d && page4d.state.ready", timeout=120_000)
    return time.perf_counter() - start


def frame_changes(page: Page) -> dict[str, dict[str, Any]]:
    """Medians over all frames of one page, in milliseconds, by drawer and mode."""
    page.wait_for_function("page4d.state.prefetched", timeout=300_000)
    found: dict[str, dict[str, Any]] = {name: {} for name in DRAWERS}
    for mode in MODES:
        for name, processor in DRAWERS.items():
            times = page.evaluate(CHANGE_FRAMES, [mode, processor])
            found[name]["canvas_px"] = times["canvas"]
            found[name][f"{mode}_ms"] = statistics.median(times["change"])
            found[name][f"{mode}_own_script_ms"] = statistics.median(times["script"])
    return found


def middle(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Median of every number over the runs."""
    return {
        k: v if isinstance(v, list) else round(statistics.median(r[k] for r in runs), 1) for k, v in runs[0].items()
    }


def measure_viewer(page: Page, path: Path, repeat: int) -> dict[str, Any]:
    """First picture and frame changes at full and at half window size."""
    found: dict[str, Any] = {"file_mb": path.stat().st_size / 1e6}
    for label, (width, height) in WINDOWS.items():
        page.set_viewport_size({"width": width, "height": height})
        starts, runs = [], []
        for _ in range(repeat):
            starts.append(first_picture_s(page, path))
            runs.append(frame_changes(page))
        found[label] = {"first_picture_s": round(statistics.median(starts), 2)}
        found[label] |= {name: middle([run[name] for run in runs]) for name in DRAWERS}
    return found


def plotly_page(prediction: Prediction, path: Path) -> None:
    """The same frames as an animated plotly figure with a colour a point."""
    cloud = cloud_of(prediction, CloudOptions(drop=0.0))

    def trace(i: int) -> go.Scatter3d:
        here = cloud[cloud.frame == i]
        x, y, z = here.xyz.T
        packed = here.rgb.astype(np.int64) @ [65536, 256, 1]
        colours = [f"#{value:06x}" for value in packed.tolist()]
        return go.Scatter3d(x=x, y=y, z=z, mode="markers", marker={"size": 1, "color": colours})

    figure = go.Figure(trace(0), frames=[go.Frame(data=[trace(i)], name=str(i)) for i in range(len(prediction))])
    figure.write_html(path, include_plotlyjs=True, auto_play=False)


def measure_plotly(page: Page, path: Path, frames: int) -> dict[str, Any]:
    """First picture and frame changes of the plotly page."""
    start = time.perf_counter()
    page.goto(path.as_uri(), timeout=300_000)
    page.wait_for_selector(".js-plotly-plot canvas", timeout=300_000)
    first = time.perf_counter() - start
    return {"first_picture_s": first, "frame_change_ms": statistics.median(page.evaluate(PLOTLY_FRAMES, frames))}


def main() -> None:
    """Measure, print and store."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--frames", type=int, default=24)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--plotly", action="store_true", help="measure plotly too (minutes)")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        raise SystemExit("no Chromium on PATH")
    clip = split_clip("dynamic-test", 3, height=SIZE[0], width=SIZE[1], frames=args.frames)
    prediction = prediction_from_clip(clip)
    assert clip.moving is not None
    found: dict[str, Any] = {"machine": f"{platform.machine()}, {os.cpu_count()} cores, software rendering"}
    found |= {"load_average": os.getloadavg()[0], "points_a_frame": SIZE[0] * SIZE[1], "frames": args.frames}
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        page = browser.new_page()
        target = Path(folder) / "viewer.html"
        write_viewer(target, prediction, clip.moving.numpy(), ViewerOptions(max_points=SIZE[0] * SIZE[1]))
        found["viewer"] = measure_viewer(page, target, args.repeat)
        if args.plotly:
            other = Path(folder) / "plotly.html"
            plotly_page(prediction, other)
            page.set_viewport_size({"width": 1280, "height": 860})
            found["plotly"] = {"file_mb": other.stat().st_size / 1e6}
            try:
                found["plotly"] |= measure_plotly(page, other, args.frames)
            except Exception as error:  # a page that never draws is a result, not a failure of the benchmark
                found["plotly"]["failed"] = str(error).splitlines()[0]
        browser.close()
    found["load_average_at_end"] = os.getloadavg()[0]
    print(json.dumps(found, indent=1))
    if args.out:
        args.out.write_text(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
