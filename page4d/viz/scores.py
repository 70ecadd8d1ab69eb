"""Pictures of Scores: errors over frames, over options, along trajectories. Scores and arrays in, figures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.figure import Figure
from numpy.typing import NDArray

from page4d.metrics import METRICS
from page4d.schema import Scores, UserError
from page4d.viz.grids import panel_grid

Positions = NDArray[np.float64]


def _name(scores: Scores) -> str:
    return f"{scores.origin['label']}, {scores.protocol['name']}"


def error_distribution(results: Sequence[Scores], metric: str = "abs_rel") -> Figure:
    """Sorted errors of all single frames: which share of frames is at most so wrong."""
    figure, axis = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    for scores in results:
        values = np.sort(np.concatenate([s.items[metric] for s in scores.sequences if s.error is None]))
        axis.step((np.arange(len(values)) + 1) / len(values), values, where="post", label=_name(scores))
    axis.set(xlabel="share of frames", ylabel=METRICS[metric].title, xlim=(0, 1), ylim=(0, None))
    axis.legend(fontsize=8)
    return figure


def error_over_time(results: Sequence[Scores], metric: str = "abs_rel") -> Figure:
    """Mean error of the n-th frame over the sequences; the band is the middle half of the sequences."""
    figure, axis = plt.subplots(figsize=(6.4, 3.2), layout="constrained")
    for scores in results:
        rows = [s.items[metric] for s in scores.sequences if s.error is None]
        length = min(map(len, rows))
        values = np.array([row[:length] for row in rows])
        (line,) = axis.plot(values.mean(0), marker="o", markersize=3, label=_name(scores))
        low, high = np.quantile(values, (0.25, 0.75), axis=0)
        axis.fill_between(np.arange(length), low, high, color=line.get_color(), alpha=0.15, linewidth=0)
    axis.set(xlabel="frame", ylabel=METRICS[metric].title, ylim=(0, None))
    axis.legend(fontsize=8)
    return figure


def option_bars(values: Mapping[str, Mapping[str, float]], ylabel: str = "AbsRel") -> Figure:
    """One group of bars for each option, one bar for each series: `values[series][option]`.

    Raises:  UserError if the series do not have the same options.
    """
    options = list(next(iter(values.values())))
    if any(list(series) != options for series in values.values()):
        raise UserError("the series of a bar chart need the same options in the same order")
    figure, axis = plt.subplots(
        figsize=(7.6, 0.42 * len(options) * max(1, len(values) / 2) + 1.1), layout="constrained"
    )
    height = 0.8 / len(values)
    for k, (name, series) in enumerate(values.items()):
        places = np.arange(len(options)) + (k - (len(values) - 1) / 2) * height
        axis.barh(places, list(series.values()), height, label=name)
    axis.set_yticks(np.arange(len(options)), options)
    axis.invert_yaxis()
    axis.set_xlabel(ylabel)
    # At the left: a narrow screen shows the right half of a wide picture after scrolling only.
    figure.legend(loc="outside upper left", ncols=len(values), fontsize=8)
    return figure


@dataclass(frozen=True)
class Curve:
    """A value over the number of frames: each point is the value and the ends of its interval, NaN without one."""

    name: str
    frames: Sequence[int]
    points: Sequence[tuple[float, float, float]]


def density_panels(panels: Mapping[str, Sequence[Curve]]) -> Figure:
    """A panel for each quantity, a curve for each frame rate, over the number of frames; bands are intervals."""
    figure, axes = panel_grid(len(panels), (3.4, 3))
    for axis, (quantity, curves) in zip(axes, panels.items(), strict=True):
        for curve in curves:
            middle, low, high = np.array(curve.points, np.float64).T
            (line,) = axis.plot(curve.frames, middle, marker="o", markersize=4, label=curve.name)
            # Bands lie over each other: their edges say which is which.
            inside, edge = (to_rgba(line.get_color(), alpha) for alpha in (0.15, 0.7))
            axis.fill_between(curve.frames, low, high, facecolor=inside, edgecolor=edge, linewidth=0.7, linestyle=":")
        axis.set_xscale("log", base=2)
        ticks = sorted({count for curve in curves for count in curve.frames})
        axis.set_xticks(ticks, [str(count) for count in ticks])
        axis.set(xlabel="frames", ylabel=quantity, ylim=(0, None))
    handles, labels = axes[0].get_legend_handles_labels()
    columns = axes[0].get_gridspec().ncols
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 2 * columns), fontsize=8)
    return figure


def trajectory_panels(pairs: Mapping[str, tuple[Positions, Positions]], unit: str = "m", columns: int = 3) -> Figure:
    """True (dashed) and aligned predicted positions (N, 3), in the two axes where the truth moves most."""
    # Equal axes get their last ticks when they are drawn, after the layout: wider labels need air.
    figure, axes = panel_grid(len(pairs), (3, 3), columns, beside_in=0.12)
    for axis, (name, (truth, predicted)) in zip(axes, pairs.items(), strict=True):
        across, up = np.argsort(truth.var(0))[::-1][:2]
        axis.plot(truth[:, across], truth[:, up], "k--", marker=".", linewidth=1, label="truth")
        axis.plot(predicted[:, across], predicted[:, up], marker=".", color="tab:blue", label="predicted")
        axis.set(xlabel=f"{'xyz'[across]} ({unit})", ylabel=f"{'xyz'[up]} ({unit})", title=name)
        axis.set_aspect("equal", adjustable="datalim")
    axes[0].legend(fontsize=8)
    return figure
