"""Feature maps: equal to the golden pictures, read from the right tokens, scored right."""

from __future__ import annotations

import argparse
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from page4d.cli.features import load_chosen
from page4d.features import camera_attention, feature_maps, paper_layers
from page4d.model import PAGE4D
from page4d.result.motion import moving_auc, patches_moving
from page4d.schema import Notice, UserError
from page4d.viz.feature_maps import feature_figure, layer_slider, map_picture, normalize_map, write_feature_pictures

GOLDEN = Path(__file__).parent / "golden" / "visualization.npz"


@pytest.fixture(scope="module")
def model() -> PAGE4D:
    torch.manual_seed(0)
    network = PAGE4D(
        img_size=64, patch_size=8, embed_dim=64, depth=4, num_heads=4, patch_embed="conv", mask_source=1,
        masked_pairs=(2,), dpt_features=16, dpt_channels=(8, 16, 16, 16), dpt_pairs=(0, 1, 2, 3), camera_heads=4,
        camera_trunk_depth=2, enable_track=False, mask_hold_start=1, mask_hold_end=1,
    )  # fmt: skip
    return network.eval()


@pytest.mark.parametrize("kind", ["frame", "global"])
def test_pictures_equal_golden(kind: str) -> None:
    golden = np.load(GOLDEN)
    half = golden["tokens"].shape[-1] // 2
    part = slice(None, half) if kind == "frame" else slice(half, None)
    for layer in range(2):
        values = golden["tokens"][layer, 0, 5:, part].mean(-1).reshape(4, 5)
        np.testing.assert_allclose(normalize_map(values), golden[f"normalised_{kind}"][layer], atol=1e-6)
        difference = map_picture(values).astype(int) - golden[f"png_{kind}"][layer].astype(int)
        assert abs(difference).max() <= 1


def test_maps_are_the_aggregator_tokens(model: PAGE4D) -> None:
    images = torch.rand(3, 3, 40, 64)
    maps = feature_maps(model, images)
    with torch.inference_mode():
        tokens, start = model.aggregator(images)
    for pair in range(4):
        frame, global_ = tokens[pair][0, :, start:].chunk(2, -1)
        np.testing.assert_allclose(maps.of("frame")[pair], frame.mean(-1).reshape(3, 5, 8), atol=1e-5)
        np.testing.assert_allclose(maps.of("global")[pair], global_.mean(-1).reshape(3, 5, 8), atol=1e-5)
    assert not any(block._forward_hooks for block in model.aggregator.frame_blocks)


def test_maps_refuse_a_batch(model: PAGE4D) -> None:
    with pytest.raises(UserError, match="one clip"):
        feature_maps(model, torch.rand(2, 2, 3, 16, 16))


def test_camera_rows_are_what_the_network_uses(model: PAGE4D) -> None:
    """Rows are probabilities, and the mask shifts them by exactly its bias, up to the normalisation."""
    images = torch.rand(2, 3, 16, 24)
    seen: dict[str, torch.Tensor] = {}
    attention = model.aggregator.global_blocks[2].attn
    hook = attention.register_forward_hook(
        lambda module, inputs, out: seen.update(x=inputs[0], bias=inputs[2], out=out)
    )
    rows = torch.from_numpy(camera_attention(model, images, [2])[0])
    hook.remove()
    assert seen["bias"] is not None
    assert rows.shape == (2, 2, 2, 3)
    assert bool((rows.sum((1, 2, 3)) < 1).all())
    assert bool((rows > 0).all())
    # An extreme mask on one patch must pull the rows there, in masked pairs only.
    before = model.aggregator.mask_step
    model.aggregator.mask_step = 1
    plain = torch.from_numpy(camera_attention(model, images, [2])[0])
    model.aggregator.mask_step = before
    bias = seen["bias"][0].unflatten(0, (2, -1))[:, 5:].reshape(2, 2, 3)
    heads_agree = torch.corrcoef(torch.stack(((rows / plain).log().flatten(1)[0], bias.flatten())))[0, 1]
    assert heads_agree > 0.95


def test_camera_rows_refuse_unknown_pairs(model: PAGE4D) -> None:
    with pytest.raises(UserError, match="4 pairs"):
        camera_attention(model, torch.rand(1, 3, 16, 16), [4])


def test_flat_and_broken_maps() -> None:
    values = np.full((3, 4), 7.3, np.float32)
    values[1, 2] = np.nextafter(values[1, 2], np.float32(8))  # rounding noise of a flat map must stay invisible
    flat = map_picture(values)
    assert flat.shape == (36, 48, 3)
    assert (flat == flat[0, 0]).all()
    assert (flat[0, 0] == (np.array([255, 255, 204]))).all()
    with pytest.raises(UserError, match="NaN"):
        map_picture(np.array([[np.nan, 1.0]], np.float32))


def test_files_of_every_frame_and_layer(tmp_path: Path) -> None:
    maps = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(np.float32)
    written = write_feature_pictures(maps, -maps, ["a", "b", "c"], tmp_path)
    names = {f"{n}_{kind}_feature_{i}.png" for n in "abc" for kind in ("frame", "global") for i in range(2)}
    assert {p.name for p in written} == {p.name for p in tmp_path.iterdir()} == names
    stored = np.asarray(Image.open(tmp_path / "b_global_feature_1.png"))
    np.testing.assert_array_equal(stored, map_picture(-maps[1, 1]))
    with pytest.raises(UserError, match="share the names"):
        write_feature_pictures(maps, maps, ["a", "a", "b"], tmp_path)


def test_auc_by_counting_pairs() -> None:
    rng = np.random.default_rng(1)
    values, moving = rng.integers(0, 5, (4, 6)).astype(float), rng.random((4, 6)) < 0.4
    pairs = [(p > n) + 0.5 * (p == n) for p in values[moving] for n in values[~moving]]
    assert moving_auc(values, moving) == pytest.approx(np.mean(pairs))
    assert np.isnan(moving_auc(values, np.zeros_like(moving)))


def test_moving_patches_by_majority() -> None:
    mask = np.zeros((1, 4, 6), bool)
    mask[0, :2, :3] = True
    mask[0, 2:, 3:5] = True
    mask[0, :1, 3:] = True
    np.testing.assert_array_equal(patches_moving(mask, 2, 2), [[[True, False], [False, True]]])


def test_figure_has_a_panel_for_each_layer_and_column() -> None:
    maps = np.random.default_rng(0).normal(size=(4, 2, 3, 5)).astype(np.float32)
    figure = feature_figure({"VGGT": maps, "PAGE-4D": maps}, np.zeros((2, 30, 50, 3), np.uint8), [0, 3])
    assert len([a for a in figure.axes if a.images]) == 6


def test_layer_slider_in_a_browser(tmp_path: Path) -> None:
    """The chapter's slider, moved with the mouse, shows the pictures of the layer it names."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on PATH: apt-get install chromium to run the browser tests")
    from playwright.sync_api import sync_playwright

    layers, rows, columns = 5, 4, 6
    maps = np.random.default_rng(0).random((2, layers, 3, rows, columns), np.float32)
    figure = layer_slider(maps[0], maps[1], np.zeros((3, 8 * rows, 8 * columns, 3), np.uint8))
    figure.write_html(tmp_path / "slider.html", include_plotlyjs=True)
    shown = "document.querySelector('.js-plotly-plot').data[0].source"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 900, "height": 600})
        problems: list[str] = []
        # Plotly rejects the promise of an animation that the next click interrupts, with no error at all.
        page.on("pageerror", lambda error: problems.extend({str(error)} - {"undefined"}))
        page.goto((tmp_path / "slider.html").as_uri())
        rail = page.locator(".slider-rail-touch-rect").bounding_box()
        assert rail is not None
        for layer in (4, 2, 0):
            page.mouse.click(
                rail["x"] + rail["width"] * (0.02 + 0.96 * layer / (layers - 1)), rail["y"] + rail["height"] / 2
            )
            wanted = figure.frames[layer].data[0].source
            page.wait_for_function(f"wanted => {shown} === wanted", arg=wanted, timeout=20_000)
            assert page.locator(".slider-label").first.text_content() == f"block pair {layer}"
        browser.close()
    assert problems == []


def test_features_have_the_options_that_notices_name(model: PAGE4D, tmp_path: Path) -> None:
    pages = [Image.new("RGB", (48, 64), (shade, 0, 0)) for shade in (0, 100, 200)]
    pages[0].save(tmp_path / "pages.tiff", save_all=True, append_images=pages[1:])
    read = {"images": [tmp_path / "pages.tiff"], "initial_num": None, "gap": None, "num_frames": None}
    with pytest.warns(Notice) as told:
        assert len(load_chosen(argparse.Namespace(**read, mode="crop", pages="first", bits=None), model)) == 1
    options = {word for notice in told for word in re.findall(r"--[a-z]+ \w+", str(notice.message))}
    assert options == {"--mode pad", "--pages all"}
    frames = load_chosen(argparse.Namespace(**read, mode="pad", pages="all", bits=None), model)
    assert len(frames) == 3


@pytest.mark.parametrize(("depth", "layers"), [(24, [4, 11, 17, 23]), (12, [1, 5, 8, 11]), (1, [0])])
def test_the_layers_of_figure_2_at_any_depth(depth: int, layers: list[int]) -> None:
    assert paper_layers(depth) == layers
