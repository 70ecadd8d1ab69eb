"""The 4-D viewer: what is packed into the page is exact, and a real browser plays it."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from little_scene import little_clip, little_prediction
from matplotlib.colors import to_rgb
from PIL import Image

from page4d.book.pdf import FLAGS
from page4d.schema import UserError
from page4d.viz.dark import contrast
from page4d.viz.panels import Row, clip_sheet, contact_sheet, prediction_sheet
from page4d.viz.scene import scene_figure
from page4d.viz.viewer import notebook_viewer, viewer_html, write_viewer
from page4d.viz.viewer_data import ViewerOptions, viewer_data


def _moving() -> np.ndarray:
    mask = little_clip().moving
    assert mask is not None
    return mask.numpy()


def _pixels(stored: dict[str, str]) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(stored["base64"]))))


def _lifted(data: dict[str, Any], frame: int) -> tuple[np.ndarray, np.ndarray]:
    """World points of one frame by the arithmetic of the vertex shader, and which of them exist."""
    code = _pixels(data["geometry"][frame]).astype(np.int64)
    q = code[..., 0] * 256 + code[..., 1]
    near, far = np.log(data["depth"])
    z = np.exp(near + (q - 1) / 65534 * (far - near))
    columns, rows = data["grid"]
    width, height = data["size"]
    x = ((2 * np.arange(columns) + 1) * width) // (2 * columns)
    y = ((2 * np.arange(rows) + 1) * height) // (2 * rows)
    fx, fy, cx, cy, skew = data["K"][frame]
    v = ((y - cy) / fy)[:, None]
    u = (x[None] - cx - skew * v) / fx
    local = np.stack((u * z, v * z, z), -1)
    pose = np.array(data["worldFromCam"][frame]).reshape(3, 4)
    return local @ pose[:, :3].T + pose[:, 3], q > 0


def test_every_pixel_comes_back_as_its_world_point() -> None:
    prediction, moving = little_prediction(), _moving()
    prediction.depth[2, :5] = 0
    data = viewer_data(prediction, moving, ViewerOptions())
    assert prediction.points is not None
    for frame in range(4):
        points, exists = _lifted(data, frame)
        np.testing.assert_array_equal(exists, prediction.depth[frame] > 0)
        np.testing.assert_allclose(points[exists], prediction.points[frame][exists], rtol=2e-4, atol=2e-4)
        blue = _pixels(data["geometry"][frame])[..., 2]
        np.testing.assert_array_equal((blue & 1).astype(bool), moving[frame])
        rank = (blue >> 1)[5:]
        assert (np.diff(rank.astype(int), axis=1) >= 0).all()  # confidence rises with the column
        assert rank[:, -1].min() == 127
        first, last = data["movingRows"][frame]
        assert moving[frame][first:last].sum() == moving[frame].sum()
        assert moving[frame][first].any()


def test_thinning_keeps_the_points_where_they_are() -> None:
    prediction = little_prediction()
    data = viewer_data(prediction, None, ViewerOptions(max_points=500))
    columns, rows = data["grid"]
    assert 400 <= columns * rows <= 500
    points, _ = _lifted(data, 3)
    assert prediction.points is not None
    distance = np.linalg.norm(points[:, :, None] - prediction.points[3].reshape(-1, 3), axis=-1).min(-1)
    assert distance.max() < 1e-3


def test_background_is_still_and_within_budget() -> None:
    prediction, moving = little_prediction(), _moving()
    data = viewer_data(prediction, moving, ViewerOptions(background_points=300))
    stored = data["background"]
    code = np.frombuffer(base64.b64decode(stored["code"]), "<u2").reshape(-1, 4)
    assert 100 < stored["count"] == len(code) <= 300
    xyz = np.array(stored["origin"]) + code[:, :3] / 65535 * np.array(stored["span"])
    # The wall moves away from its plane by the quantisation only; the sliding body is not in it.
    np.testing.assert_allclose(xyz @ [0.25, -0.1, 1.0], 4.0, atol=1e-3)
    assert viewer_data(prediction, np.ones_like(moving), ViewerOptions())["background"] is None


def test_page_is_self_contained_and_escaped() -> None:
    prediction = replace(little_prediction(), frame_names=("</script><b>", "b", "c", "d"))
    page = viewer_html(prediction, None, ViewerOptions(title="<i>a & b"))
    assert "<i>a" not in page
    assert page.count("</script>") == 3
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:)?//""", page)
    data = re.search(r'id="scene">(.*?)</script>', page, re.DOTALL)
    assert data is not None
    assert json.loads(data[1])["names"][0] == "</script><b>"


def test_notebook_copy_is_light() -> None:
    shown = notebook_viewer(little_prediction(height=160, width=220), None)
    assert shown.data.startswith("<div><iframe srcdoc=")
    assert len(shown.data) < 2.5e6


def test_bad_input(tmp_path: Path) -> None:
    prediction = little_prediction()
    with pytest.raises(UserError, match="not finite"):
        write_viewer(tmp_path / "a.html", replace(prediction, depth=np.full_like(prediction.depth, np.nan)))
    with pytest.raises(UserError, match="no valid point"):
        write_viewer(tmp_path / "a.html", replace(prediction, depth=np.zeros_like(prediction.depth)))
    with pytest.raises(UserError, match="too many"):
        viewer_html(prediction, None, ViewerOptions(thumb_width=20_000))
    with pytest.raises(UserError, match="moving mask has shape"):
        viewer_html(prediction, np.zeros((4, 3, 3), bool))
    with pytest.raises(UserError, match="cannot write"):
        write_viewer(tmp_path / "missing" / "a.html", prediction)
    with pytest.raises(UserError, match="mode"):
        ViewerOptions(mode="fast")
    assert not list(tmp_path.iterdir())


def test_scene_figure_is_upright_and_labelled() -> None:
    prediction, moving = little_prediction(), _moving()
    figure = scene_figure(prediction, 1000, moving=moving)
    names = {trace.name: trace for trace in figure.data}
    assert set(names) == {"static points", "moving points", "cameras", "camera path"}
    assert len(names["static points"].x) + len(names["moving points"].x) == 1000
    listed = [trace for trace in figure.data if trace.showlegend is not False]
    assert [trace.name for trace in listed] == ["static points", "moving points", "cameras", "camera path"]
    assert len({trace.marker.color for trace in listed[:2]}) == 1, "no colour of a picture stands in the legend"
    for name in ("cameras", "camera path"):
        apart = [contrast(to_rgb(names[name].line.color), to_rgb(ground)) for ground in ("white", "#121212", "#f4f4f2")]
        assert min(apart) > 3, name
    assert figure.layout.scene.camera.up.y == -1
    assert figure.layout.scene.yaxis.title.text == "y down (m)"
    np.testing.assert_allclose(names["camera path"].x[3], np.linalg.inv(
        np.vstack((prediction.cam_from_world[3], [0, 0, 0, 1])))[0, 3], atol=1e-6)  # fmt: skip
    with pytest.raises(UserError, match="no frame 9"):
        scene_figure(prediction, frame=9)


def test_contact_sheets_have_a_panel_for_every_frame() -> None:
    clip, prediction = little_clip(), little_prediction()
    sheet = prediction_sheet(prediction, _moving(), at_most=3)
    pictures = [axis for axis in sheet.axes if axis.images and axis.get_xticks().size == 0]
    assert len(pictures) == 4 * 3
    assert "z (m)" in [axis.get_ylabel() for axis in sheet.axes]
    assert clip_sheet(clip).axes
    with pytest.raises(UserError, match="equal length"):
        contact_sheet([Row([np.zeros((2, 2))], "a"), Row([np.zeros((2, 2))] * 2, "b")])


def test_a_yes_or_no_has_no_colour_bar_and_no_picture_has_axis_lines() -> None:
    yes, between = np.eye(4), np.eye(4) / 2
    assert len(contact_sheet([Row([yes, yes], "moving")]).axes) == 2
    sheet = contact_sheet([Row([between, yes], "m")])
    assert len(sheet.axes) == 3
    assert not any(spine.get_visible() for axis in sheet.axes[:2] for spine in axis.spines.values())


# ---- in a browser --------------------------------------------------------------------------------------------------

READ_PIXELS = """() => {
  const p = page4d.pixels();
  let text = "";
  for (let i = 0; i < p.length; i += 8192) text += String.fromCharCode(...p.subarray(i, i + 8192));
  return [page4d.renderer.domElement.width, btoa(text)];
}"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on PATH: apt-get install chromium to run the browser tests")
    from playwright.sync_api import sync_playwright

    path = tmp_path_factory.mktemp("viewer") / "scene.html"
    clip, prediction = little_clip(5, 60, 80), little_prediction(5, 60, 80)
    assert clip.moving is not None
    write_viewer(path, prediction, clip.moving.numpy(), ViewerOptions(fps=30, drop=0.0))
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(FLAGS))
        opened = browser.new_page(viewport={"width": 640, "height": 640})
        opened.set_default_timeout(60_000)
        opened.problems = []
        opened.on("console", lambda message: opened.problems.append(message.text))
        opened.on("pageerror", lambda error: opened.problems.append(str(error)))
        opened.requests = []
        opened.on("request", lambda request: opened.requests.append(request.url))
        opened.goto(path.as_uri())
        opened.wait_for_function("window.page4d && (page4d.state.ready || page4d.state.problem)", timeout=60_000)
        yield opened
        browser.close()


def _picture(page: Any) -> np.ndarray:
    """The drawing as (height, width, 3), without the overlay of controls."""
    width, packed = page.evaluate(READ_PIXELS)
    return np.frombuffer(base64.b64decode(packed), np.uint8).reshape(-1, width, 4)[..., :3]


def _coloured(picture: np.ndarray) -> int:
    return int((picture.max(-1).astype(int) - picture.min(-1) > 60).sum())


def _set(page: Any, control: str, value: str, event: str = "input") -> None:
    page.evaluate(
        "([id, value, event]) => { const e = document.getElementById(id); e.value = value; "
        "e.dispatchEvent(new Event(event)); }",
        [control, value, event],
    )


def test_browser_draws_colours_without_errors(page: Any) -> None:
    assert page.evaluate("page4d.state.problem") is None
    assert _coloured(_picture(page)) > 2500
    assert page.problems == []
    assert all(url.startswith(("file:", "blob:", "data:")) for url in page.requests)


def test_browser_slider_moves_the_body(page: Any) -> None:
    _set(page, "cameras", "")
    _set(page, "frame", "0")
    page.wait_for_function("page4d.state.shown === 0")
    first = _picture(page)
    _set(page, "frame", "4")
    page.wait_for_function("page4d.state.shown === 4")
    last = _picture(page)
    changed = (np.abs(first.astype(int) - last).max(-1) > 40).mean()
    assert 0.002 < changed < 0.5
    assert page.inner_text("#frame-name") == "5 / 5"
    assert "frame_0004" in page.inner_text("#note")


def test_browser_confidence_drops_points(page: Any) -> None:
    _set(page, "mode", "frame", "change")
    whole = _coloured(_picture(page))
    _set(page, "confidence", "90")
    few = _coloured(_picture(page))
    _set(page, "confidence", "0")
    assert few < 0.4 * whole
    assert _coloured(_picture(page)) == pytest.approx(whole, rel=0.02)


def test_browser_modes_differ(page: Any) -> None:
    seen = {}
    for mode in ("frame", "static", "split"):
        _set(page, "mode", mode, "change")
        seen[mode] = _picture(page)
    assert (seen["split"] != seen["static"]).any(-1).mean() > 0.002
    assert (seen["frame"] != seen["static"]).any(-1).mean() > 0.002


def test_browser_plays(page: Any) -> None:
    _set(page, "frame", "0")
    page.click("#play")
    page.wait_for_function("page4d.state.shown >= 2", timeout=20_000)
    page.click("#play")
    assert page.evaluate("page4d.state.playing") is False
    assert page.problems == []


def test_browser_strip_seeks(page: Any) -> None:
    page.wait_for_selector("#strips canvas >> nth=2")
    strip = page.locator("#strips canvas").nth(1)
    width = strip.bounding_box()["width"] / 5
    strip.click(position={"x": 3.5 * width, "y": 5})
    page.wait_for_function("page4d.state.shown === 3")
    assert page.evaluate("page4d.data.strips.length") == 3
    marker = page.locator("#strips i").nth(1).bounding_box()
    assert marker["x"] - strip.bounding_box()["x"] == pytest.approx(3 * width, abs=1)


def _resize(page: Any, width: int) -> None:
    """Another width of the window, once the drawing has it too: the canvas follows it one observer later."""
    page.set_viewport_size({"width": width, "height": 640})
    page.wait_for_function(f"page4d.renderer.domElement.width === {width}")


@pytest.mark.parametrize("width", [480, 1400])
def test_browser_shows_the_whole_strip(page: Any, width: int) -> None:
    """At any width of the page every frame of the strips is in view."""
    _resize(page, width)
    page.wait_for_function(f"document.getElementById('strips').clientWidth <= {width}")
    page.wait_for_function("(e => e.scrollWidth <= e.clientWidth)(document.getElementById('strips'))", timeout=5_000)
    box = page.locator("#strips canvas").nth(0).bounding_box()
    assert 0 < box["x"] < box["x"] + box["width"] <= width
    _resize(page, 640)


@pytest.mark.parametrize(
    ("mode", "tint", "confidence"), [("frame", "0", "0"), ("split", "1", "30"), ("all", "2", "60")]
)
def test_processor_and_card_draw_the_same(page: Any, mode: str, tint: str, confidence: str) -> None:
    """What a reader without a graphics card sees is what the shaders draw."""
    assert page.evaluate("page4d.state.processor") is True  # headless Chromium has software WebGL
    _set(page, "mode", mode, "change")
    _set(page, "tint", tint, "change")
    _set(page, "confidence", confidence)
    page.evaluate("page4d.show(2)")
    page.wait_for_function("page4d.state.shown === 2")
    ours = _picture(page).astype(int)
    page.evaluate("page4d.drawBy(false)")
    page.wait_for_function("page4d.state.shown === 2")
    card = _picture(page).astype(int)
    page.evaluate("page4d.drawBy(true)")
    page.wait_for_function("page4d.state.shown === 2")
    _set(page, "tint", "0", "change")
    _set(page, "confidence", "0")
    drawn, covered = (card < 250).any(-1), (ours < 250).any(-1)
    assert drawn.mean() > 0.02
    assert (drawn != covered).mean() < 0.01 * drawn.mean()
    # Of overlapping points at nearly one depth either may win: depth is rounded differently.
    assert (np.abs(ours - card).max(-1) > 12).mean() < 0.06 * drawn.mean()
    assert np.abs(ours - card)[drawn].mean() < 3
    assert page.problems == []


GROUND = "() => [...page4d.pixels().slice(0, 3)]"  # of the corner at the lower left, where no point is


def _await_theme(page: Any, theme: str) -> None:
    page.wait_for_function(f"document.documentElement.dataset.theme === '{theme}'")


def test_browser_follows_the_reader_at_night(page: Any) -> None:
    page.emulate_media(color_scheme="dark")
    _await_theme(page, "dark")
    assert page.evaluate(GROUND) == [0x14, 0x18, 0x1E]
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(217, 221, 227)"
    page.emulate_media(color_scheme="light")
    _await_theme(page, "light")
    assert page.evaluate(GROUND) == [255, 255, 255]


def test_browser_follows_the_book_around_it(page: Any, tmp_path: Path) -> None:
    """A reader of the book may have chosen the other theme than that of the system."""
    inside = notebook_viewer(little_prediction(), None).data.replace('loading="lazy"', "")
    (tmp_path / "book.html").write_text(f'<!doctype html><html data-theme="dark"><body>{inside}</body></html>')
    book = page.context.browser.new_page(color_scheme="light", viewport={"width": 400, "height": 600})
    book.goto((tmp_path / "book.html").as_uri())
    frame = book.frames[1]
    frame.wait_for_function("window.page4d && page4d.state.ready")
    assert frame.evaluate(GROUND) == [0x14, 0x18, 0x1E]
    book.evaluate("document.documentElement.dataset.theme = 'light'")
    _await_theme(frame, "light")
    assert frame.evaluate(GROUND) == [255, 255, 255]
    book.close()


def test_browser_looks_through_the_camera(page: Any) -> None:
    """Through the frame's own camera the drawing is the picture itself."""
    _set(page, "mode", "frame", "change")
    page.evaluate("page4d.show(3)")
    page.wait_for_function("page4d.state.shown === 3")
    page.evaluate("for (const id of ['cameras', 'axes']) { const e = document.getElementById(id); e.checked = false; "
                  "e.dispatchEvent(new Event('change')); }")  # fmt: skip
    page.click("#through")
    drawn = _picture(page)[::-1]
    K = np.array(page.evaluate("page4d.data.K[3]"))
    height = drawn.shape[0]
    truth = little_prediction(5, 60, 80).images[3]
    # The view's centre is the camera's axis, its height the picture's height around that axis.
    scale = height / 60
    errors = []
    for row, column in ((15, 15), (30, 40), (45, 65), (20, 55)):
        y = drawn.shape[0] / 2 + (row - K[3]) * scale
        x = drawn.shape[1] / 2 + (column - K[2]) * scale * K[1] / K[0]
        errors.append(np.abs(drawn[round(y), round(x)].astype(int) - truth[row, column]).max())
    assert np.median(errors) < 60
