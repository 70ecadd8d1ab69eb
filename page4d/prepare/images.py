"""Is an image whole? Checked before anything is copied, so that a bad download stops the run at its start."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from page4d.io.limits import check_png_claim
from page4d.places import bytes_of
from page4d.schema import UserError


def _decode(path: Path, place: str) -> NDArray[np.generic]:
    if not path.is_file():
        raise UserError(f"{place}: {path} does not exist; the download is not complete")
    try:
        stored = bytes_of(path)
    except OSError as error:
        raise UserError(f"{place}: cannot read {path}: {error.strerror}") from error
    check_png_claim(stored, f"{place}: {path}")
    data = np.frombuffer(stored, np.uint8)
    image = cv2.imdecode(data, cv2.IMREAD_UNCHANGED) if data.size else None
    if image is None:
        raise UserError(f"{place}: {path} ({data.size} bytes) cannot be decoded as an image; download it again")
    return image


def check_colour(path: Path, place: str) -> tuple[int, int]:
    """Height and width of an 8-bit colour image.

    Raises:  UserError that starts with `place` if it is missing, broken or of another kind.
    """
    image = _decode(path, place)
    if image.dtype != np.uint8 or image.ndim != 3:
        raise UserError(f"{place}: {path} is {image.dtype} with shape {image.shape}, expected an 8-bit colour image")
    return int(image.shape[0]), int(image.shape[1])


def check_depth(path: Path, place: str, size_hw: tuple[int, int]) -> None:
    """Make sure that a depth map is 16-bit, single-channel and as large as its colour image.

    Raises:  UserError that starts with `place` otherwise.
    """
    image = _decode(path, place)
    if image.dtype != np.uint16 or image.shape != size_hw:
        raise UserError(
            f"{place}: {path} is {image.dtype} with shape {image.shape}, expected a 16-bit image with shape {size_hw}"
        )
