"""What a stored Prediction or Scores file can say at all: an edited or damaged one is refused before it is used."""

from __future__ import annotations

import math
import typing
from collections.abc import Mapping
from types import UnionType
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
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


def check_types(made: T) -> T:
    """A dataclass that was made from JSON, whose fields hold what their types say: numbers are finite ones.

    Raises:  TypeError naming the field.
    """
    for name, hint in typing.get_type_hints(type(made)).items():
        if not _fits(value := getattr(made, name), hint):
            raise TypeError(f"{name} is {value!r:.60}, expected {getattr(hint, '__name__', hint)}")
    return made


def _fits(value: Any, hint: Any) -> bool:
    kind, inside = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return True
    if kind in (typing.Union, UnionType):
        return any(_fits(value, each) for each in inside)
    if kind is dict:
        return isinstance(value, dict) and all(_fits(each, inside[1]) for each in value.values())
    if kind is tuple:
        return isinstance(value, tuple) and all(_fits(each, inside[0]) for each in value)
    if isinstance(value, bool) and hint is not bool:
        return False
    return isinstance(value, int | float) and math.isfinite(value) if hint is float else isinstance(value, hint)
