"""Figures of several small panels."""

from __future__ import annotations

from typing import Any

import matplotlib.pyplot as plt
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from numpy.typing import NDArray

MOST_IN_A_ROW = 3
PANELS_APART_IN = 0.1
"""Room around each panel: with less, an axis label touches the title or the axis of its neighbour."""


def panel_grid(count: int, size_in: tuple[float, float]) -> tuple[Figure, NDArray[Any]]:
    """A figure with `count` panels of that width and height, three to a row at most, and their axes (count,)."""
    rows = -(-count // MOST_IN_A_ROW)
    columns = -(-count // rows)
    whole = (size_in[0] * columns, size_in[1] * rows)
    apart = ConstrainedLayoutEngine(h_pad=PANELS_APART_IN, w_pad=PANELS_APART_IN)
    figure, axes = plt.subplots(rows, columns, figsize=whole, squeeze=False, layout=apart)
    for unused in axes.flat[count:]:
        unused.axis("off")
    return figure, axes.flat[:count]
