"""What a stored Prediction can say at all: an edited or damaged file is refused before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

# The largest picture that is read has half of these pixels.
MOST_PIXELS = 1 << 29
LEAST_BOX, LARGEST_BOX = 1e-3, 1e7


def check_arrays(arrays: Mapping[str, NDArray[Any]]) -> None:
    """Look at the arrays of a Prediction whose names and shapes are right.

    Raises:  ValueError for maps without a pixel, for an original or a part of it that no picture has, and for a time
             that is infinite.
    """
    for name in ("depth", "mask"):
        if name in arrays and 0 in arrays[name].shape[1:]:
            raise ValueError(f"{name} has shape {arrays[name].shape}, which is not one pixel")
    sizes, boxes = arrays["original_hw"], arrays["box_in_original"]
    if sizes.dtype.kind not in "iu" or (sizes < 1).any() or (np.prod(sizes.astype(float), 1) > MOST_PIXELS).any():
        raise ValueError(f"original_hw says {sizes[:1].tolist()}, expected whole pixels of a picture")
    sides = boxes[:, 2:] - boxes[:, :2]
    if not ((sides >= LEAST_BOX) & (sides <= LARGEST_BOX)).all() or not (np.abs(boxes) <= LARGEST_BOX).all():
        raise ValueError(f"box_in_original says {boxes[:1].tolist()}, expected x0 < x1 and y0 < y1 in pixels")
    if np.isinf(arrays["timestamps_s"]).any():
        raise ValueError("a time is infinite, expected seconds, or NaN where it is not known")


def check_meta(meta: Mapping[str, Any]) -> None:
    """Look at those parts of a Prediction's meta that are read again.

    Raises:  ValueError for a scale or joins of another kind.
    """
    scale, joins = meta.get("scale", {}), meta.get("joins", [])
    factor = scale.get("factor", 1.0) if isinstance(scale, Mapping) else None
    if not isinstance(factor, int | float) or not 0 < factor < float("inf"):
        raise ValueError(f"the scale in its meta is {scale!r}, expected a positive factor with unit and source")
    if not isinstance(joins, list):
        raise ValueError(f"the joins in its meta are {joins!r}, expected a list")
