"""Figures of several small panels."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

PANELS_APART_IN = 0.1
"""Room around each panel: with less, an axis label touches the title or the axis of its neighbour."""


def panel_grid(
    count: int, size_in: tuple[float, float], most_in_a_row: int = 3, beside_in: float = PANELS_APART_IN
) -> tuple[Figure, NDArray[Any]]:
    """A figure with `count` panels of that width and height, so many to a row at most, and their axes (count,)."""
    rows = -(-count // most_in_a_row)
    columns = -(-count // rows)
    whole = (size_in[0] * columns, size_in[1] * rows)
    apart = ConstrainedLayoutEngine(h_pad=PANELS_APART_IN, w_pad=beside_in)
    figure, axes = plt.subplots(rows, columns, figsize=whole, squeeze=False, layout=apart)
    for unused in axes.flat[count:]:
        unused.axis("off")
    return figure, axes.flat[:count]
