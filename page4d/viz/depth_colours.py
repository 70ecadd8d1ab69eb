"""One colouring of depth for every picture: near is red, far is blue, evenly in inverse depth; grey has none."""

from __future__ import annotations

from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import FuncNorm
from numpy.typing import NDArray

from page4d.schema import UserError

DEPTH_COLOURS = "turbo_r"
HOLE = "#d9d9d6"
_HOLE_RGB = (0xD9, 0xD9, 0xD6)
_CLOSEST = 1e-6  # inverse depth has no end at zero

Span = tuple[float, float]


def depth_span(depth: NDArray[np.floating[Any]], valid: NDArray[np.bool_]) -> Span:
    """Near and far end of the colours: 2nd and 98th percentile of what is valid, so that a stray pixel hides nothing.

    Raises:  UserError if nothing is valid.
    """
    if not valid.any():
        raise UserError("no depth is valid, so that there is nothing to colour")
    near, far = (float(value) for value in np.percentile(depth[valid], (2, 98)))
    return near, far


def depth_norm(span: Span) -> FuncNorm:
    """Depth to [0, 1], from near to far, evenly in inverse depth; the norm of a picture and of its colour bar."""
    near = max(span[0], _CLOSEST)
    far = max(span[1], near * (1 + 1e-6))
    # matplotlib wants functions that rise.
    return FuncNorm((_minus_inverse, _inverse_of_minus), vmin=near, vmax=far, clip=True)


def depth_ticks(span: Span, apart: float = 0.22) -> list[float]:
    """Round depths for a colour bar, none closer to another than `apart` of its length.

    Note:    the bar is even in inverse depth, so that even steps of depth would crowd at its far end.
    """
    norm = depth_norm(span)
    ends = [float(end) for end in norm.inverse(np.array([0.0, 1.0]))]
    chosen: list[float] = []
    for digits in ((1, 2, 5), (3, 7, 1.5), (4, 2.5, 6, 8, 1.2, 9)):
        for value in (digit * 10.0**power for power in range(-6, 7) for digit in digits):
            inside = ends[0] <= value <= ends[1]
            if inside and all(abs(norm(value) - norm(other)) >= apart for other in chosen):
                chosen.append(value)
    # A narrow range holds no round number, or one: then its ends are told.
    return sorted(chosen) if len(chosen) > 1 else ends


def _minus_inverse(depth: Any) -> Any:
    return -1 / np.maximum(depth, _CLOSEST)


def _inverse_of_minus(value: Any) -> Any:
    return -1 / np.minimum(value, -1e-12)


def depth_colours(depth: NDArray[np.floating[Any]], valid: NDArray[np.bool_], span: Span) -> NDArray[np.uint8]:
    """Depth maps as pictures: depth and valid (*, H, W) -> (*, H, W, 3)."""
    known = np.where(valid, depth, span[0])
    share = np.asarray(depth_norm(span)(known.ravel())).reshape(known.shape)  # the norm takes no third axis
    coloured = np.asarray(matplotlib.colormaps[DEPTH_COLOURS](share))[..., :3]
    levels = (255 * coloured).round().astype(np.uint8)
    return np.where(valid[..., None], levels, np.array(_HOLE_RGB, np.uint8))
