"""How sure a mean over sequences is: the scores of a Scores file as columns, and their bootstrap intervals."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from page4d.evaluate.statistics import WEIGHT, Table, interval, weight_of
from page4d.schema import Scores


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
