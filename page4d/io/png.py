"""PNG decoding by OpenCV where it gives what PIL gives: a fifth to a third less time, because libpng unfilters faster.

Only whole files of the two kinds that datasets are made of are taken: 8-bit colour and 16-bit grey. Everything else,
damaged files above all, is left to PIL, whose errors say what is wrong.
"""

from __future__ import annotations

import io
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

_START = b"\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"
# The last chunk of every PNG, with its length and checksum; a file that was cut short does not end with it.
_END = b"\x00\x00\x00\x00IEND\xaeB`\x82"
_COLOUR, _COLOUR_ALPHA, _GREY = (8, 2), (8, 6), (16, 0)


def _kind(data: bytes) -> tuple[int, int] | None:
    """(bits, colour type) from the header, None unless this is a PNG with its first and last chunk."""
    whole = data.startswith(_START) and data.endswith(_END) and len(data) > len(_START) + 12
    return (data[24], data[25]) if whole else None


def _decoded(data: bytes, flags: int) -> NDArray[np.integer[Any]] | None:
    try:
        pixels: Any = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error:
        return None
    return None if pixels is None else np.asarray(pixels)


def decode_rgb(data: bytes) -> NDArray[np.uint8] | None:
    """(H, W, 3) RGB of an opaque 8-bit colour PNG, not rotated; None for any other or damaged data."""
    kind = _kind(data)
    if kind not in (_COLOUR, _COLOUR_ALPHA):
        return None
    pixels = _decoded(data, cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.dtype != np.uint8 or pixels.ndim != 3:
        return None
    if pixels.shape[2] == 4 and pixels[..., 3].min() < 255:
        return None  # what shows through is for PIL to say
    order = cv2.COLOR_BGR2RGB if pixels.shape[2] == 3 else cv2.COLOR_BGRA2RGB
    return np.asarray(cv2.cvtColor(pixels, order), np.uint8)


def decode_grey16(data: bytes) -> NDArray[np.uint16] | None:
    """(H, W) of a 16-bit grey PNG; None for any other or damaged data."""
    if _kind(data) != _GREY:
        return None
    pixels = _decoded(data, cv2.IMREAD_UNCHANGED)
    return np.asarray(pixels, np.uint16) if pixels is not None and pixels.dtype == np.uint16 else None


def open_checked(data: bytes) -> Image.Image:
    """An image opened by PIL after its checksums, which PIL's own decoding of a PNG does not look at.

    Raises:  those of PIL: OSError, SyntaxError.
    """
    with Image.open(io.BytesIO(data)) as probe:
        probe.verify()
    return Image.open(io.BytesIO(data))
