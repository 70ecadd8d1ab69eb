"""Pictures of how long films hold together: scale and place along a film whose windows were joined."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from page4d.schema import UserError

COLOURS = {"plain": "tab:red", "robust": "tab:blue", "robust with loops": "tab:green"}
# Joins that agree would hide each other: each has a place of its own, and a line of its own.
ASIDE = {"plain": -0.15, "robust": 0.0, "robust with loops": 0.15}
LINES = {"plain": "-", "robust": "-", "robust with loops": "--"}
# A join that has failed ends with a scale of nothing, which a logarithmic axis cannot show.
SMALLEST_SCALE = 1e-4


def joins_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Scale at the end of a film for every level of planted errors, and scale and place along the longest film.

    Note:    `rows` are those that `benchmarks/joins.py` stores: frames, depth_noise, outliers, join, seed, end_scale,
             and for some a curve.
    Raises:  UserError if there is no row, or none with a curve.
    """
    longest = max((row["frames"] for row in rows), default=0)
    chosen = [row for row in rows if row["frames"] == longest]
    curves = [row for row in chosen if "curve" in row]
    if not curves:
        raise UserError("no row of the joins has a curve along the film; expected rows as benchmarks/joins.py stores")
    worst = max((row["depth_noise"], row["outliers"]) for row in curves)
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(8.4, 3.2), layout="constrained")
    _end_scales(left, chosen)
    for row in curves:
        if (row["depth_noise"], row["outliers"]) == worst:
            _curve(middle, row, "scale")
            _curve(right, row, "place")
    level = f"{worst[0]:.0%} noise, {worst[1]:.0%} outliers"
    middle.set(xlabel="frame", ylabel="scale against the start", yscale="log", title=level)
    right.set(xlabel="frame", ylabel="camera's error, share of the way", yscale="log", title=level)
    left.legend(fontsize=8)
    return figure


def _end_scales(axis: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    levels = sorted({(row["depth_noise"], row["outliers"]) for row in rows})
    for name, colour in COLOURS.items():
        own = [row for row in rows if row["join"] == name]
        at = [levels.index((row["depth_noise"], row["outliers"])) + ASIDE[name] for row in own]
        scale = np.maximum([row["end_scale"] for row in own], SMALLEST_SCALE)
        if own:
            axis.plot(at, scale, "o", color=colour, alpha=0.7, label=name)
    axis.axhline(1, color="0.6", linewidth=0.8)
    axis.set_xticks(range(len(levels)), [f"{noise:.0%}\n{outliers:.0%}" for noise, outliers in levels])
    title = f"after {rows[0]['frames']} frames"
    axis.set(xlabel="noise of depth (above), outliers", ylabel="scale against the start", yscale="log", title=title)


def _curve(axis: Axes, row: Mapping[str, Any], name: str) -> None:
    values = np.maximum(row["curve"][name], SMALLEST_SCALE)
    join = row["join"]
    axis.plot(row["curve"]["frames"], values, LINES[join], color=COLOURS[join], label=join)
