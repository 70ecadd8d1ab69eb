"""Means, bootstrap intervals, paired differences, and what may be said of a difference in words."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from page4d.metrics import METRICS
from page4d.schema import Scores, UserError

RESAMPLES = 2000
SMALLEST_EFFECT = 0.02
"""Share of a score below which a difference is called none: seeds of one training differ by about as much."""
RATIOS = {name: metric.ratio_of for name, metric in METRICS.items() if metric.ratio_of is not None}
"""Scores that are a ratio of two averages, such as an answer's error over that of a camera that stands still."""
AGAIN = {name: metric.of for name, metric in METRICS.items() if metric.of is not None}
"""Scores that average the column of another score in another way."""

WEIGHT = "weight"
"""A column of this name weighs the sequences of every mean, as valid pixels weigh depth."""

Table = Mapping[str, NDArray[np.float64]]
Picks = NDArray[np.int64]
"""Numbers of sequences, one row per resampling."""
Values = NDArray[np.float64]


def weight_of(metric: str) -> str:
    """The column that weighs the sequences of one metric alone, where it is there."""
    return f"{WEIGHT} of {metric}"


def table_of(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The numbers of rows as columns; what is not a number in every row is left out."""
    columns = {}
    for name in rows[0]:
        column = [row.get(name) for row in rows]
        if all(isinstance(value, float) for value in column):
            columns[name] = np.array(column, dtype=np.float64)
    return columns


def average_of(table: Table, metric: str) -> float:
    """A metric averaged over the sequences where it is defined; NaN if it is defined nowhere.

    Note:    `METRICS` says whether that is a mean or a median, or the ratio of two averages.
    """
    return float(_averages(table, metric, _everything(table))[0])


def averages(table: Table, names: Sequence[str]) -> dict[str, float]:
    """The named scores averaged, and what else can be made of their columns; what is defined nowhere is left out."""
    found = {name: average_of(table, name) for name in names if name in table}
    defined = {name: value for name, value in found.items() if math.isfinite(value)}
    for ratio, (ours, reference) in RATIOS.items():
        if ours in defined and defined.get(reference, 0.0) > 0:
            defined[ratio] = average_of(table, ratio)
    for other, column in AGAIN.items():
        if column in defined:
            defined[other] = average_of(table, other)
    return defined


def bootstrap(statistic: Callable[[Picks], Values], n: int, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of a statistic over sequences; it maps rows of sequence numbers to one value each.

    Source:  Efron & Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.
    """
    picks = np.random.default_rng(seed).integers(0, n, (RESAMPLES, n))
    found = statistic(picks)
    if np.isnan(found).all():
        return math.nan, math.nan
    low, high = np.nanquantile(found, (0.025, 0.975))
    return float(low), float(high)


def interval(table: Table, metric: str) -> tuple[float, float]:
    """95 % bootstrap interval over sequences of `average_of`; NaN for fewer than two, of which nothing can be drawn."""
    if _having([table], metric).sum() < 2:
        return math.nan, math.nan
    return bootstrap(lambda picks: _averages(table, metric, picks), _count(table))


def interval_of_means(rows: NDArray[np.floating[Any]]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """95 % bootstrap interval of each column's mean: rows (N, L) -> bounds (L,), NaN for fewer than two rows."""
    values = np.asarray(rows, np.float64)
    if len(values) < 2:
        nothing = np.full(values.shape[1:], np.nan)
        return nothing, nothing.copy()
    picks = np.random.default_rng(0).integers(0, len(values), (RESAMPLES, len(values)))
    low, high = np.quantile(values[picks].mean(1), (0.025, 0.975), axis=0)
    return low, high


def difference(ours: Table, other: Table, metric: str) -> tuple[float, float, float]:
    """Change of a metric from `other` to `ours` on the same sequences: value and 95 % interval, paired.

    Note:    sequences in which only one of them has the metric do not count; the interval of fewer than two is NaN.
    Raises:  UserError if the two evaluations have different numbers of sequences.
    """
    ours, other, having = _paired(ours, other, metric)

    def change(picks: Picks) -> Values:
        return _averages(ours, metric, picks) - _averages(other, metric, picks)

    value = float(change(_everything(ours))[0])
    return value, *(bootstrap(change, _count(ours)) if having > 1 else (math.nan, math.nan))


@dataclass(frozen=True)
class Effect:
    """A relative change on the same sequences, with its 95 % interval; positive = better, whatever the score."""

    change: float
    low: float
    high: float
    smallest: float = SMALLEST_EFFECT

    @property
    def verdict(self) -> Literal["better", "worse", "none", "undecided"]:
        """none: smaller than what counts; undecided: large, but the interval holds zero, or there is none."""
        if abs(self.change) < self.smallest:
            return "none"
        if not (self.low > 0 or self.high < 0):
            return "undecided"
        return "better" if self.change > 0 else "worse"

    def __str__(self) -> str:
        if self.verdict in ("better", "worse"):
            low, high = sorted((abs(100 * self.low), abs(100 * self.high)))
            # An end that is rounded to 0 would read as if the interval held 0.
            least = f"{low:.0f}" if round(low) else f"{low:.1g}"
            return f"{self.verdict} by {abs(100 * self.change):.0f} %, interval {least} to {high:.0f} %"
        if math.isnan(self.change):
            return "undecided: no sequence has both scores, or the one to take a share of is 0"
        between = "no interval, for fewer than two sequences have both scores"
        if math.isfinite(self.low) and math.isfinite(self.high):
            between = f"interval {_told(self.low)} to {_told(self.high)}"
        if self.verdict == "none":
            return f"no difference seen (below {100 * self.smallest:.0f} %), {between}"
        return f"undecided: {_told(self.change)}, {between}"


def _told(change: float) -> str:
    """A change in words that need no sign."""
    per_cent = round(100 * change)
    if per_cent == 0:
        return "0 %"
    return f"{abs(per_cent)} % {'better' if per_cent > 0 else 'worse'}"


def effect(ours: Table, other: Table, metric: str, smallest: float = SMALLEST_EFFECT) -> Effect:
    """How much better `ours` is than `other` in a metric, as a share of the other's, paired over sequences.

    Note:    sequences in which only one of them has the metric do not count; the interval of fewer than two is NaN.
    Raises:  UserError if the two evaluations have different numbers of sequences, or nobody knows which way is better.
    """
    if metric not in METRICS:
        raise UserError(f"{metric!r} is no score, so which way is better is not known; there are {', '.join(METRICS)}")
    ours, other, having = _paired(ours, other, metric)
    sign = -1 if METRICS[metric].better == "lower" else 1

    def gain(picks: Picks) -> Values:
        before = _averages(other, metric, picks)
        # A resample whose base is 0 has no relative change; it is left out of the interval.
        share_of = np.where(before == 0, np.nan, before)
        return np.asarray(sign * (_averages(ours, metric, picks) - before) / share_of)

    low, high = bootstrap(gain, _count(ours)) if having > 1 else (math.nan, math.nan)
    return Effect(float(gain(_everything(ours))[0]), low, high, smallest)


def _count(table: Table) -> int:
    return len(next(iter(table.values())))


def _columns_of(metric: str) -> tuple[str, ...]:
    """The columns that a metric is made of."""
    parts = RATIOS.get(metric, (metric,))
    return tuple(AGAIN.get(part, part) for part in parts)


def _having(tables: Sequence[Table], metric: str) -> NDArray[np.bool_]:
    """Which sequences have a metric in all of the tables."""
    names = _columns_of(metric)
    missing = [name for table in tables for name in names if name not in table]
    if missing:
        raise UserError(f"{missing[0]!r} is not in the table, which has {', '.join(tables[0])}")
    finite = [np.isfinite(table[name]) for table in tables for name in names]
    return np.asarray(np.all(finite, axis=0))


def _paired(ours: Table, other: Table, metric: str) -> tuple[Table, Table, int]:
    """Both tables with the metric where both have it, NaN elsewhere, and how many sequences that are."""
    n, m = _count(ours), _count(other)
    if n != m:
        raise UserError(f"cannot pair {n} sequences with {m}; evaluate both on the same ones")
    both = _having([ours, other], metric)

    def cut(table: Table) -> Table:
        return {**table, **{name: np.where(both, table[name], np.nan) for name in _columns_of(metric)}}

    return cut(ours), cut(other), int(both.sum())


def _everything(table: Table) -> Picks:
    return np.arange(_count(table))[None]


def _averages(table: Table, metric: str, picks: Picks) -> Values:
    """The average of a metric over each row of picked sequences."""
    if metric in RATIOS:
        ours, reference = RATIOS[metric]
        base = _averages(table, reference, picks)
        # A resample of few clips may hold none with a moving camera: then there is no ratio.
        return _averages(table, ours, picks) / np.where(base == 0, np.nan, base)
    drawn = table[AGAIN.get(metric, metric)][picks]
    drawn = np.where(np.isfinite(drawn), drawn, np.nan)
    middle = METRICS[metric].middle if metric in METRICS else "mean"
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Mean of empty slice|All-NaN slice", RuntimeWarning)
        if middle == "median":
            return np.asarray(np.nanmedian(drawn, 1))
        column = weight_of(metric) if weight_of(metric) in table else WEIGHT
        if column not in table:
            return np.asarray(np.nanmean(drawn, 1))
    weights = np.where(np.isfinite(drawn), table[column][picks], 0)
    total = weights.sum(1)
    # A resample may hold none of the sequences in which the metric is defined: 0 / 0 is then NaN, on purpose.
    return np.asarray(np.nansum(weights * drawn, 1) / np.where(total == 0, np.nan, total))


def sequence_table(scores: Scores, names: Sequence[str] | None = None) -> Table:
    """The scores of the sequences as columns, with the weights of their mean.

    Note:    `names` chooses sequences and their order; without it all that were scored. What a sequence does not have
             is NaN.
    """
    scored = {q.name: q for q in scores.sequences if q.error is None}
    chosen = [scored[name] for name in (scored if names is None else names)]
    table = {WEIGHT: np.array([q.weight for q in chosen], np.float64)}
    for metric in scores.mean:
        table[metric] = np.array([q.values.get(metric, np.nan) for q in chosen], np.float64)
        if any(metric in q.weights for q in chosen):
            table[weight_of(metric)] = np.array([q.weights.get(metric, 0) for q in chosen], np.float64)
    return table


def shared_sequences(ours: Scores, other: Scores) -> list[str]:
    """The sequences that two evaluations can be compared on: what failed in either is left out of both."""
    names = {q.name for q in other.sequences if q.error is None}
    return [q.name for q in ours.sequences if q.error is None and q.name in names]


def interval_of(scores: Scores, metric: str) -> tuple[float, float]:
    """95 % bootstrap interval of a mean over its sequences; NaN for fewer than two, of which nothing can be drawn."""
    return interval(sequence_table(scores), metric)
