"""Means over pixels that are alike: what a pixel lacks, its neighbours of the same body say."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

Map = NDArray[np.float64]


def guided_means(
    values: Map, known: NDArray[np.bool_], guide: Map, radius: int, noise: Sequence[float]
) -> NDArray[np.float64]:
    """Values smoothed as far as the guide is smooth, and carried to where they are unknown.

    Shapes:  values, known (H, W), guide (H, W, C), noise (C,) -> (H, W).
    Units:   radius in pixels; noise in those of the guide's channels: smaller differences are no edge.
    Note:    in every square of pixels the values are fitted by a linear function of the guide, so that they may only
             change where it does; what a pixel gets is the mean of the fits of all squares around it.
    Source:  He, Sun & Tang, "Guided Image Filtering" (2010), with weights for what is known.
    """
    weight = known.astype(np.float64)
    share = np.maximum(_mean(weight, radius), 1e-3)

    def mean(x: Map) -> Map:
        return _mean(x * weight, radius) / share

    channels = [np.ascontiguousarray(guide[..., c], np.float64) for c in range(guide.shape[-1])]
    centre = np.stack([mean(channel) for channel in channels], -1)
    value = mean(values)
    products = np.stack([mean(channel * values) for channel in channels], -1)
    shared = products - centre * value[..., None]
    squares = [mean(a * b) for a, b in itertools.product(channels, repeat=2)]
    second = np.stack(squares, -1).reshape(*centre.shape, -1)
    spread = second - centre[..., None] * centre[..., None, :]
    slope = np.linalg.solve(spread + np.diag(np.square(noise)), shared[..., None])[..., 0]
    offset = value - (slope * centre).sum(-1)
    slopes = np.stack([_mean(slope[..., c], radius) for c in range(len(channels))], -1)
    return np.asarray((slopes * guide).sum(-1) + _mean(offset, radius))


def _mean(x: Map, radius: int) -> Map:
    """Mean over the square of 2 radius + 1 pixels around each."""
    side = 2 * radius + 1
    return np.asarray(cv2.blur(np.ascontiguousarray(x), (side, side), borderType=cv2.BORDER_REFLECT))
