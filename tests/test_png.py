"""PNG files through OpenCV: the same pixels as PIL's, and nothing that is not whole."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from page4d.data.datasets.formats import read_png16, read_rgb
from page4d.io.depth_png import read_depth_png
from page4d.io.png import decode_grey16, decode_rgb
from page4d.schema import UserError

RNG = np.random.default_rng(0)
COLOURS = RNG.integers(0, 256, (19, 23, 4), np.uint8)
DEPTHS = RNG.integers(0, 65536, (19, 23)).astype(np.uint16)


def encoded(pixels: np.ndarray, kind: str = "png", **options: object) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, kind, **options)
    return stream.getvalue()


def turned_with_gamma() -> bytes:
    """A picture whose file asks viewers to turn it and to change its gamma; K and colours are of the stored pixels."""
    exif = Image.Exif()
    exif[0x0112] = 6
    chunks = PngInfo()
    chunks.add(b"gAMA", (100_000).to_bytes(4, "big"))
    return encoded(COLOURS[..., :3], exif=exif, pnginfo=chunks)


PICTURES = {
    "colour": lambda: encoded(COLOURS[..., :3]),
    "opaque": lambda: encoded(np.dstack((COLOURS[..., :3], np.full((19, 23), 255, np.uint8)))),
    "turned, with gamma": turned_with_gamma,
}


@pytest.mark.parametrize("name", PICTURES)
def test_colours_are_the_stored_ones(name: str) -> None:
    pixels = decode_rgb(PICTURES[name]())
    assert pixels is not None
    np.testing.assert_array_equal(pixels, COLOURS[..., :3])


def test_grey_of_16_bits_is_exact() -> None:
    np.testing.assert_array_equal(decode_grey16(encoded(DEPTHS)), DEPTHS)


def test_other_kinds_are_left_to_pil(tmp_path: Path) -> None:
    palette = Image.fromarray(COLOURS[..., :3]).quantize(16)
    palette.save(tmp_path / "palette.png")
    Image.fromarray(COLOURS[..., 0]).save(tmp_path / "grey.png")
    Image.fromarray(COLOURS[..., :3]).save(tmp_path / "a.jpg")
    for name in ("palette.png", "grey.png", "a.jpg"):
        data = (tmp_path / name).read_bytes()
        assert decode_rgb(data) is None
        assert decode_grey16(data) is None
        np.testing.assert_array_equal(read_rgb(tmp_path / name), Image.open(tmp_path / name).convert("RGB"))
    assert decode_rgb(encoded(DEPTHS)) is None
    assert decode_rgb(encoded(COLOURS)) is None  # not opaque
    assert decode_grey16(encoded(COLOURS)) is None


READERS = {
    "colour": (read_rgb, encoded(COLOURS[..., :3]), "cannot be read as colour image"),
    "jpeg": (read_rgb, encoded(COLOURS[..., :3], "jpeg"), "cannot be read as colour image"),
    "16 bits": (read_png16, encoded(DEPTHS), "cannot be read as 16-bit PNG"),
    "depth": (lambda path: read_depth_png(path, 1000.0), encoded(DEPTHS), "cannot be read as a PNG"),
}


@pytest.mark.parametrize("name", READERS)
def test_a_file_cut_short_is_refused_wherever_it_is_cut(name: str, tmp_path: Path) -> None:
    read, data, message = READERS[name]
    path = tmp_path / "cut"
    path.write_bytes(data)
    whole = read(path)
    end = 24 if name != "jpeg" else 4
    for size in [*range(0, len(data) - end, 7), len(data) - end]:
        path.write_bytes(data[:size])
        with pytest.raises(UserError, match=message):
            read(path)
    for size in range(len(data) - end + 1, len(data)):
        # Only the end mark is missing, or a part of it: refused, or the whole picture.
        path.write_bytes(data[:size])
        try:
            np.testing.assert_array_equal(read(path), whole)
        except UserError as error:
            assert message in str(error)  # noqa: PT017


@pytest.mark.parametrize("name", ["colour", "16 bits", "depth"])
def test_a_flipped_bit_gives_the_same_pixels_or_an_error(name: str, tmp_path: Path) -> None:
    read, data, _ = READERS[name]
    path = tmp_path / "flipped"
    path.write_bytes(data)
    whole, refused = read(path), 0
    start, end = data.index(b"IDAT") + 4, len(data) - 16
    for place in np.linspace(start, end - 1, 40).astype(int):
        damaged = bytearray(data)
        damaged[place] ^= 1 << int(place % 8)
        path.write_bytes(bytes(damaged))
        try:
            np.testing.assert_array_equal(read(path), whole)
        except UserError:
            refused += 1
    assert refused > 30


def test_a_depth_map_is_no_picture(tmp_path: Path) -> None:
    path = tmp_path / "depth.png"
    path.write_bytes(encoded(DEPTHS))
    with pytest.raises(UserError, match="expected an 8-bit picture"):
        read_rgb(path)
