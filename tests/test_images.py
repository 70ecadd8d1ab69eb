"""Image loading: parity with the public loader's golden numbers, boxes in closed form, odd and broken files."""

from __future__ import annotations

import hashlib
import json
import warnings
from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps
from torch.nn import functional as F

from page4d.io import fitting as module
from page4d.io import limits
from page4d.io.frames import FrameOptions, load_frames
from page4d.io.images import (
    list_images,
    load_and_preprocess_images,
    load_and_preprocess_images_square,
    load_images,
)
from page4d.io.pictures import open_picture, open_rgb, upright_size
from page4d.schema import Notice, UserError

GOLDEN = Path(__file__).parent / "golden"
EXPECTED = json.loads((GOLDEN / "images.json").read_text())
NAMES = sorted(EXPECTED["crop"])


@pytest.fixture(scope="module")
def golden_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("images")
    with np.load(GOLDEN / "images_inputs.npz") as stored:
        for name in stored.files:
            Image.fromarray(stored[name]).save(folder / f"{name}.png")
    return {path.stem: path for path in folder.iterdir()}


def check_against_golden(actual: torch.Tensor, expected: dict) -> None:
    assert list(actual.shape) == expected["shape"]
    assert actual.dtype == torch.float32
    if EXPECTED["versions"]["pillow"] == PIL.__version__:
        assert hashlib.sha256(actual.numpy().tobytes()).hexdigest() == expected["sha256_float32_bytes"]
    assert float(actual.double().mean()) == pytest.approx(expected["mean"], abs=2e-4)
    assert float(actual.double().std(correction=0)) == pytest.approx(expected["std"], abs=2e-4)
    for pixel in expected["pixels"]:
        rgb = actual[pixel["frame"], :, pixel["row"], pixel["col"]]
        np.testing.assert_allclose(rgb.numpy(), pixel["rgb"], atol=1 / 255 + 1e-6)


@pytest.mark.parametrize("mode", ["crop", "pad"])
@pytest.mark.parametrize("name", NAMES)
def test_public_loader_parity(golden_files: dict[str, Path], mode: str, name: str) -> None:
    check_against_golden(load_and_preprocess_images([str(golden_files[name])], mode), EXPECTED[mode][name])
    ours = load_images([golden_files[name]], mode).images  # type: ignore[arg-type]
    torch.testing.assert_close(ours, load_and_preprocess_images([golden_files[name]], mode), rtol=0, atol=0)


@pytest.mark.parametrize("name", NAMES)
def test_square_loader_parity(golden_files: dict[str, Path], name: str) -> None:
    expected = EXPECTED["square_1024_at_target_64"][name]
    images, coordinates = load_and_preprocess_images_square([golden_files[name]], 64)
    check_against_golden(images, expected)
    np.testing.assert_allclose(coordinates.numpy(), expected["coords_x1y1x2y2wh"], rtol=1e-6)


def test_mixed_sizes_are_padded_with_a_warning(golden_files: dict[str, Path]) -> None:
    files = [golden_files["landscape_64x48"], golden_files["landscape_wide_102x44"]]
    with pytest.warns(UserWarning, match=r"2 different sizes.*224 x 518, 392 x 518.*padded with white to 392 x 518"):
        images = load_and_preprocess_images(files)
    check_against_golden(images, EXPECTED["crop_mixed[landscape_64x48,landscape_wide_102x44]"])
    with pytest.warns(UserWarning, match="different sizes"):
        loaded = load_images(files)
    np.testing.assert_allclose(loaded.box_in_original[0], [0, 0, 64, 48])
    border = 84 * 44 / 224  # (392 - 224) / 2 rows above and below, in rows of the original
    np.testing.assert_allclose(loaded.box_in_original[1], [0, -border, 102, 44 + border])


def test_squash_to_a_square_after_crop(golden_files: dict[str, Path]) -> None:
    images = load_and_preprocess_images([golden_files["landscape_wide_102x44"]])
    squashed = F.interpolate(images, (518, 518), mode="bilinear", align_corners=False)
    check_against_golden(squashed, EXPECTED["crop_then_squash_518(landscape_wide_102x44)"])


@pytest.mark.parametrize(("size", "expected"), EXPECTED["crop_sizes"].items())
def test_crop_sizes_of_common_datasets(size: str, expected: dict) -> None:
    width, height = map(int, size.split("x"))
    loaded = load_images(Image.new("RGB", (width, height)))
    assert loaded.images.shape[-2:] == (expected["final_height"], 518)
    _, top, _, bottom = loaded.box_in_original[0]
    assert (bottom - top) / height == pytest.approx(expected["kept_fraction_of_height"])


def gradient(height: int, width: int) -> Image.Image:
    """Red grows by one a column, green by one a row: a pixel's colour says where it came from."""
    y, x = np.mgrid[:height, :width]
    return Image.fromarray(np.stack((x, y, 0 * x), -1).astype(np.uint8))


@given(
    height=st.integers(20, 200),
    width=st.integers(20, 200),
    mode=st.sampled_from(module.MODES),
)
def test_box_says_where_each_pixel_came_from(height: int, width: int, mode: module.Mode) -> None:
    loaded = load_images(gradient(height, width), mode, size=64, patch=8)
    _, _, h, w = loaded.images.shape
    assert h % 8 == 0
    assert w % 8 == 0
    assert max(h, w) <= 64
    assert tuple(loaded.original_hw[0]) == (height, width)
    x0, y0, x1, y1 = loaded.box_in_original[0]
    source_x = x0 + (np.arange(w) + 0.5) * (x1 - x0) / w - 0.5
    source_y = y0 + (np.arange(h) + 0.5) * (y1 - y0) / h - 0.5
    # The filter smears the borders over two of its radii; inside, a linear ramp stays the same ramp.
    margin_x, margin_y = 4 * max((x1 - x0) / w, 1), 4 * max((y1 - y0) / h, 1)
    inside_x = (source_x > margin_x) & (source_x < width - 1 - margin_x)
    inside_y = (source_y > margin_y) & (source_y < height - 1 - margin_y)
    pixels = loaded.images[0].numpy() * 255
    columns = pixels[0][inside_y][:, inside_x] - source_x[inside_x]
    rows = pixels[1][inside_y][:, inside_x] - source_y[inside_y][:, None]
    assert np.abs(columns).max(initial=0) <= 1.01
    assert np.abs(rows).max(initial=0) <= 1.01


@pytest.mark.parametrize("turn", range(1, 9))
@pytest.mark.parametrize("suffix", [".tif", ".png", ".webp"])
def test_a_turned_picture_is_as_the_upright_one_in_every_format(suffix: str, turn: int, tmp_path: Path) -> None:
    """Pillow turns a TIFF itself, and says the turned size before it does."""
    colours = np.arange(24 * 16 * 3, dtype=np.uint8).reshape(16, 24, 3)
    exif = Image.Exif()
    exif[0x0112] = turn
    Image.fromarray(colours).save(tmp_path / f"a{suffix}", exif=exif, lossless=True)
    loaded = open_picture(tmp_path / f"a{suffix}")
    upright = ImageOps.exif_transpose(Image.open(tmp_path / f"a{suffix}"))
    np.testing.assert_array_equal(np.asarray(loaded.rgb), np.asarray(upright))
    assert loaded.size_wh == upright_size(tmp_path / f"a{suffix}") == upright.size
    assert loaded.size_wh == ((16, 24) if turn >= 5 else (24, 16))


@pytest.mark.parametrize(
    ("head", "said"),
    [
        (b"PK\3\4", "an archive; unpack it and give the folder"),
        (b"\x1f\x8b\x08", "an archive"),
        (b"7z\xbc\xaf\x27\x1c", "an archive"),
        (b"some text", "not an image that Pillow can read"),
    ],
)
def test_what_is_no_picture_is_named(head: bytes, said: str, tmp_path: Path) -> None:
    (tmp_path / "a.zip").write_bytes(head + bytes(100))
    with pytest.raises(UserError, match=f"a.zip is {said}"):
        load_frames(tmp_path / "a.zip")


def test_an_address_is_no_file() -> None:
    for address in ("https://example.com/a.mp4", "file:///a.png", Path("s3://bucket/a")):
        with pytest.raises(UserError, match="is an address; download what it names first"):
            load_frames(address)
    with pytest.raises(UserError, match="does not exist"):
        load_frames("C:/pictures")


def test_exif_rotation_is_honoured_except_by_the_public_loader(tmp_path: Path) -> None:
    image = gradient(40, 60)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned: show rotated by 90 degrees clockwise
    image.save(tmp_path / "turned.png", exif=exif)
    loaded = load_images(tmp_path / "turned.png", "pad", size=64, patch=8)
    assert tuple(loaded.original_hw[0]) == (60, 40)
    upright = open_rgb(tmp_path / "turned.png")
    np.testing.assert_array_equal(np.asarray(upright), np.rot90(np.asarray(image), -1))
    public = load_and_preprocess_images([tmp_path / "turned.png"])
    torch.testing.assert_close(public, load_and_preprocess_images([image]), rtol=0, atol=0)


def test_sixteen_bit_grey_keeps_its_range(tmp_path: Path) -> None:
    values = np.array([[0, 257, 25700, 65535]], np.uint16)
    Image.fromarray(values).save(tmp_path / "deep.png")
    np.testing.assert_array_equal(np.asarray(open_rgb(tmp_path / "deep.png"))[0, :, 0], [0, 1, 100, 255])


def test_sixteen_bit_colour(tmp_path: Path) -> None:
    import cv2

    values = np.full((4, 4, 3), (65535, 25700, 0), np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), values[..., ::-1])
    np.testing.assert_array_equal(np.asarray(open_rgb(tmp_path / "deep.png"))[0, 0], [255, 100, 0])


def test_cmyk_jpeg_has_the_right_colours(tmp_path: Path) -> None:
    Image.new("CMYK", (32, 32), (0, 255, 255, 0)).save(tmp_path / "red.jpg", quality=95)
    red, green, blue = np.asarray(open_rgb(tmp_path / "red.jpg"))[16, 16]
    assert red > 240
    assert green < 15
    assert blue < 15


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparency_becomes_white(tmp_path: Path, mode: str) -> None:
    if mode == "P":
        image = Image.new("P", (8, 8), 0)
        image.putpalette([10, 20, 30] + [0] * 765)
        image.save(tmp_path / "clear.png", transparency=0)
    else:
        Image.new(mode, (8, 8), (10, 20, 30, 0) if mode == "RGBA" else (10, 0)).save(tmp_path / "clear.png")
    assert np.asarray(open_rgb(tmp_path / "clear.png")).min() == 255


def test_opaque_palette_and_grey(tmp_path: Path) -> None:
    image = Image.new("P", (8, 8), 0)
    image.putpalette([10, 20, 30] + [0] * 765)
    image.save(tmp_path / "palette.png")
    assert tuple(np.asarray(open_rgb(tmp_path / "palette.png"))[0, 0]) == (10, 20, 30)
    Image.new("1", (8, 8), 1).save(tmp_path / "bits.png")
    assert np.asarray(open_rgb(tmp_path / "bits.png")).min() == 255


def test_folder_in_natural_order_without_hidden_files(tmp_path: Path) -> None:
    for name in ("10.png", "2.png", "1.JPG", "frame_9.png", "frame_10.png", ".hidden.png", "notes.txt"):
        gradient(16, 16).save(tmp_path / name, "PNG")
    (tmp_path / "folder.png").mkdir()
    assert [p.name for p in list_images(tmp_path)] == ["1.JPG", "2.png", "10.png", "frame_9.png", "frame_10.png"]
    assert load_images(tmp_path, size=16, patch=8).names == ("1.JPG", "2.png", "10.png", "frame_9.png", "frame_10.png")


def test_one_image_and_pil_images() -> None:
    loaded = load_images(gradient(48, 64), size=64, patch=8)
    assert loaded.images.shape == (1, 3, 48, 64)
    assert len(loaded) == 1
    assert np.isnan(loaded.timestamps_s).all()
    assert load_images([gradient(48, 64)] * 2, size=64, patch=8, timestamps_s=[0, 0.5]).timestamps_s[1] == 0.5


def broken_files(folder: Path) -> dict[str, Path]:
    (folder / "text.png").write_text("this is no picture")
    (folder / "empty.png").touch()
    gradient(64, 64).save(folder / "whole.png")
    whole = (folder / "whole.png").read_bytes()
    (folder / "half.png").write_bytes(whole[: len(whole) // 2])
    Image.fromarray(np.zeros((4, 4), np.float32)).save(folder / "float.tif")
    Image.fromarray(np.full((4, 4), 70000, np.int32)).save(folder / "wide.tif")
    Image.new("L", (2000, 4)).save(folder / "thin.png")
    return {path.stem: path for path in folder.iterdir()}


@pytest.mark.parametrize(
    ("stem", "message"),
    [
        ("text", "not an image that Pillow can read"),
        ("empty", r"is empty \(0 bytes\)"),
        ("half", "cannot be read as an image, it may be cut short"),
        ("float", "floating-point pixels"),
        ("wide", "values 70000 to 70000"),
        ("thin", "less than one patch of 14"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, stem: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_images([broken_files(tmp_path)[stem]])


def test_decompression_bomb_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gradient(64, 64).save(tmp_path / "bomb.png")
    monkeypatch.setattr(limits, "MAX_PIXELS", 1000)
    with pytest.raises(UserError, match=r"is too large: 64 x 64 px"):
        open_rgb(tmp_path / "bomb.png")


def test_bad_arguments(tmp_path: Path) -> None:
    image = gradient(16, 16)
    for call, message in (
        (lambda: load_images([]), "no images given"),
        (lambda: load_images(tmp_path), "holds no image"),
        (lambda: load_images(tmp_path / "missing.png"), "does not exist"),
        (lambda: load_images([tmp_path]), "is a folder"),
        (lambda: load_images(image, "stretch"), "mode is 'stretch'"),  # type: ignore[arg-type]
        (lambda: load_images(image, size=100), "size 100 is not a positive multiple of the patch size 14"),
        (lambda: load_images(image, timestamps_s=[1, 2]), "2 timestamps for 1 images"),
        (lambda: load_and_preprocess_images([]), "no images given"),
        (lambda: load_and_preprocess_images([image], "square"), "expected 'crop' or 'pad'"),
        (lambda: list_images(tmp_path / "missing"), "is not a folder"),
    ):
        with pytest.raises(UserError, match=message):
            call()


def test_what_phones_put_behind_a_photograph_is_no_page(tmp_path: Path) -> None:
    photograph, other = Image.new("RGB", (64, 48), (200, 10, 10)), Image.new("RGB", (64, 48), (10, 200, 10))
    behind = {"map": [Image.new("RGB", (16, 12))], "pair": [other, Image.new("RGB", (16, 12))]}
    for name, more in behind.items():
        photograph.save(tmp_path / f"{name}.jpg", "MPO", save_all=True, append_images=more)
    small = FrameOptions(size=32, patch=8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_frames(tmp_path / "map.jpg", small)
    with pytest.warns(Notice, match=r"\(pair\.jpg: 2\); --pages all takes every one"):
        load_frames(tmp_path / "pair.jpg", small)
    both = load_frames(tmp_path / "pair.jpg", replace(small, pages="all"))
    red, green = both.images.mean((2, 3)).argmax(1).tolist()
    assert (red, green) == (0, 1)
