"""Depth maps as 16-bit PNG: value = depth * scale, 0 = no depth, the scale inside the file."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError
from PIL.PngImagePlugin import PngInfo

from page4d.io.png import decode_grey16, open_checked
from page4d.measured import is_measured
from page4d.places import bytes_of
from page4d.schema import MALFORMED, UserError, atomic_write

SCALE_KEY = "depth_scale"
DEPTH_PNG_MAX = 65535
# Levels between the camera and the tenth of the pixels that is nearest: steps of at most 0.4 % there.
NEAR_LEVELS = 256
NEAR_SHARE = 10.0  # per cent


def depth_png_scale(depth: NDArray[np.float32]) -> float:
    """The largest power of ten with which every finite depth of a clip still fits into 16 bits."""
    largest = float(np.max(depth, initial=0.0, where=np.isfinite(depth)))
    return float(10.0 ** np.floor(np.log10(DEPTH_PNG_MAX / largest))) if largest > 0 else 1000.0


def near_scale(depth: NDArray[np.float32]) -> float:
    """The scale of one depth map: `depth_png_scale`, or larger where that leaves its near part too few levels.

    Note:    then depths beyond `DEPTH_PNG_MAX` / scale, 256 times as far as the near part, do not fit.
    """
    known = depth[is_measured(depth)]
    if len(known) == 0:
        return depth_png_scale(depth)
    near = float(np.percentile(known, NEAR_SHARE))
    return max(depth_png_scale(depth), NEAR_LEVELS / near)


def write_depth_png(path: os.PathLike[str] | str, depth: NDArray[np.float32], scale: float) -> None:
    """Write one depth map (H, W) as 16-bit PNG; non-finite and non-positive depth becomes 0.

    Raises:  UserError if a depth does not fit into 16 bits: it is never clipped silently.
    """
    if depth.ndim != 2:
        raise UserError(f"depth has shape {depth.shape}, expected (H, W)")
    valid = is_measured(depth)
    values = np.rint(np.where(valid, depth, 0).astype(np.float64) * scale)
    if values.max(initial=0) > DEPTH_PNG_MAX:
        raise UserError(
            f"depth {depth[valid].max():g} times scale {scale:g} exceeds {DEPTH_PNG_MAX}; take a scale of at most "
            f"{depth_png_scale(depth):g}"
        )
    text = PngInfo()
    text.add_text(SCALE_KEY, repr(float(scale)))
    with atomic_write(path) as stream:
        Image.fromarray(values.astype(np.uint16)).save(stream, "PNG", pnginfo=text)


def read_depth_png(path: os.PathLike[str] | str, scale: float | None = None) -> NDArray[np.float32]:
    """Read a 16-bit depth PNG as float32 (H, W), 0 = no depth; `scale` overrules the one in the file.

    Raises:  UserError if the file is missing or no 16-bit grey image, or has no scale and none is given.
    """
    path = Path(path)
    try:
        data = bytes_of(path)
        if scale is not None and (fast := decode_grey16(data, str(path))) is not None:
            return np.divide(fast, scale, dtype=np.float32)
        with open_checked(data, str(path)) as image:
            image.load()
            stored, mode, values = image.info.get(SCALE_KEY), image.mode, np.asarray(image)
    except FileNotFoundError as error:
        raise UserError(f"{path} does not exist; expected a 16-bit grey PNG") from error
    except UserError:
        raise
    except (UnidentifiedImageError, OSError, SyntaxError, MemoryError, *MALFORMED) as error:
        raise UserError(f"{path} cannot be read as a PNG: {error}") from error
    if not mode.startswith("I"):
        raise UserError(f"{path} has pixels of mode {mode}, expected 16-bit grey")
    if scale is None and stored is None:
        raise UserError(f"{path} does not say its depth scale; pass scale=, for example 5000 for TUM, 1000 for mm")
    return np.asarray(values / (_stored_scale(path, stored) if scale is None else scale), np.float32)


def _stored_scale(path: Path, text: object) -> float:
    try:
        scale = float(str(text))
    except ValueError:
        scale = float("nan")
    if not 0 < scale < float("inf"):
        raise UserError(f"{path} says that its depth scale is {text!r}; expected a positive number, pass scale=")
    return scale
