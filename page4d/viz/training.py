"""Pictures of training: schedules, loss curves, estimates with intervals. Arrays in, figures out."""

from __future__ import annotations

import textwrap
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import EngFormatter, LogLocator
from numpy.typing import ArrayLike, NDArray

from page4d.schema import UserError
from page4d.viz.grids import PANELS_APART_IN, panel_grid

Curve = NDArray[np.float64]
FEW = 8
"""Values of a curve up to which each is marked: a line through one value cannot be seen."""
NAME_WIDTH = 30  # letters


def schedule_figure(steps: ArrayLike, rates: Mapping[str, ArrayLike], alpha: ArrayLike) -> Figure:
    """Learning rate of each group (logarithmic) and strength of the mask over the optimizer steps."""
    figure, (upper, lower) = plt.subplots(2, 1, figsize=(6.4, 3.6), sharex=True, layout="constrained")
    for name, values in rates.items():
        upper.semilogy(steps, values, label=name)
    upper.set(ylabel="learning rate")
    _legend_below(figure, upper, 8)
    lower.plot(steps, alpha, color="black")
    lower.set(xlabel="optimizer step", ylabel="alpha")
    return figure


def curve(
    records: Sequence[Mapping[str, Any]], name: str, phase: str = "train", over: str = "step"
) -> tuple[Curve, Curve]:
    """Steps (or what else `over` names) and values of one logged scalar; empty where it was never logged."""
    picked = [(r[over], r[name]) for r in records if r["phase"] == phase and r.get(name) is not None]
    steps, values = np.array(picked, dtype=np.float64).reshape(-1, 2).T
    return steps, values


def smooth(values: Curve, window: int) -> Curve:
    """Centred running mean over at most `window` values; shorter at the ends, so that nothing is invented there."""
    if window < 1:
        raise UserError(f"smoothing window is {window}, expected at least 1")
    half = window // 2
    sums = np.concatenate(([0.0], np.cumsum(values)))
    index = np.arange(len(values))
    low, high = np.maximum(index - half, 0), np.minimum(index + half + 1, len(values))
    return np.asarray((sums[high] - sums[low]) / (high - low))


def curves_figure(
    runs: Mapping[str, Sequence[Mapping[str, Any]]],
    names: Mapping[str, str],
    phase: str = "train",
    window: int = 1,
    exact: Collection[str] = (),
) -> Figure:
    """Small panels, one a scalar (`names`: logged name -> title), one line a run; thin lines are unsmoothed.

    Note:    scalars in `exact` follow a schedule and are never smoothed; few values are marked one by one.
    """
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    size = (2.9 * columns, 2.1 * rows)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, sharex=True, layout="constrained")
    for axis, (name, title) in zip(axes.flat, names.items(), strict=False):
        for label, records in runs.items():
            steps, values = curve(records, name, phase)
            width = 1 if name in exact else window
            mark = "o" if len(steps) <= FEW else None
            (line,) = axis.plot(steps, smooth(values, width), label=label, marker=mark, markersize=3)
            if width > 1:
                axis.plot(steps, values, color=line.get_color(), alpha=0.8, linewidth=0.7)
        axis.set_title(title, fontsize=9)
    for axis in axes.flat[len(names) :]:
        axis.set_visible(False)
    for axis in axes[-1]:
        axis.set_xlabel("optimizer step")
    if len(runs) > 1:
        _legend_below(figure, axes[0, 0], 8)
    return figure


def progress_figure(
    records: Sequence[Mapping[str, Any]], names: Mapping[str, str], aims: Mapping[str, float], phase: str = "val"
) -> Figure:
    """Small panels, one a scalar (`names`: logged name -> title), over the pictures seen; dashed lines are the aims.

    Note:    `records` are those of `page4d.train.pictures_seen`. Both axes are logarithmic, as learning curves are
             read: on them a power law is a straight line.
    """
    figure, axes = panel_grid(len(names), (2.9, 2.6))
    for axis, (name, title) in zip(axes, names.items(), strict=True):
        pictures, values = curve(records, name, phase, over="pictures")
        axis.loglog(pictures, values, "o-", markersize=4)
        if name in aims:
            axis.axhline(aims[name], color="tab:green", linestyle="--", linewidth=1)
        axis.yaxis.set_major_formatter("{x:.2g}")
        axis.yaxis.set_minor_formatter("{x:.2g}")
        axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.xaxis.set_major_formatter(EngFormatter(sep=""))
        axis.xaxis.set_minor_formatter("")
        axis.tick_params(which="both", labelsize=8)
        axis.set_title(title, fontsize=9)
        axis.set_xlabel("pictures seen", fontsize=8)
    return figure


def _legend_below(figure: Figure, axis: Axes, size: float) -> None:
    """A legend under the whole figure: inside a panel it would lie over the curves that it explains."""
    handles, labels = axis.get_legend_handles_labels()
    # So many columns that the legend is no wider than the figure; a letter is about half as wide as it is tall.
    column = (max(map(len, labels)) / 2 + 3.5) * size / 72
    columns = max(1, min(len(labels), 4, int(figure.get_figwidth() / column)))
    figure.legend(handles, labels, loc="outside lower center", ncols=columns, fontsize=size)


def estimates_figure(panels: Mapping[str, Mapping[str, tuple[float, float, float]]], zero: bool = False) -> Figure:
    """One panel a quantity, one dot with its interval an arm: `panels[quantity][arm] = (value, low, high)`.

    `zero` draws a line at 0, for differences.
    """
    arms = list(next(iter(panels.values())))
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    size = (2.4 + 2.4 * columns, rows * (0.9 + 0.36 * len(arms)))
    # The words below the upper panels would touch the frames of the lower ones.
    apart = ConstrainedLayoutEngine(h_pad=PANELS_APART_IN)
    figure, axes = plt.subplots(rows, columns, figsize=size, squeeze=False, sharey=True, layout=apart)
    for unused in axes.flat[len(panels) :]:
        unused.set_visible(False)
    for axis, (quantity, values) in zip(axes.flat, panels.items(), strict=False):
        axis.locator_params(axis="x", nbins=3)
        for row, arm in enumerate(arms):
            value, low, high = values[arm]
            axis.plot([low, high], [row, row], color="black", linewidth=1)
            axis.plot(value, row, "o", color="black", markersize=5)
        # Long names on two lines, or they leave the panels no room.
        names = [textwrap.fill(arm, NAME_WIDTH) for arm in arms]
        axis.set(xlabel=quantity, yticks=range(len(arms)), yticklabels=names, ylim=(len(arms) - 0.5, -0.5))
        if zero:
            axis.axvline(0, color="grey", linewidth=0.8, linestyle="--")
    return figure


def binned_figure(
    x: ArrayLike, series: Mapping[str, ArrayLike], edges: Sequence[float], xlabel: str, ylabel: str
) -> Figure:
    """Mean of each series in bins of x, with its standard error; the numbers of sequences stand on the axis."""
    x = np.asarray(x, dtype=np.float64)
    number = np.digitize(x, edges[1:-1])
    centres = (np.asarray(edges[:-1]) + np.asarray(edges[1:])) / 2
    figure, axis = plt.subplots(figsize=(6.4, 3.6), layout="constrained")
    for offset, (label, values) in enumerate(series.items()):
        cells = [np.asarray(values, dtype=np.float64)[number == k] for k in range(len(centres))]
        cells = [cell[np.isfinite(cell)] for cell in cells]
        mean = [cell.mean() if len(cell) else np.nan for cell in cells]
        error = [cell.std(ddof=1) / np.sqrt(len(cell)) if len(cell) > 1 else np.nan for cell in cells]
        width = (edges[1] - edges[0]) * 0.06
        axis.errorbar(centres + (offset - len(series) / 2) * width, mean, error, marker="o", markersize=3, label=label)
    counts = [int((number == k).sum()) for k in range(len(centres))]
    axis.set_xticks(centres, [f"{c:.2f}\nn={n}" for c, n in zip(centres, counts, strict=True)])
    axis.set(xlabel=xlabel, ylabel=ylabel, ylim=(0, None))
    _legend_below(figure, axis, 8)
    return figure
