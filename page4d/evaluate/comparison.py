"""Two evaluations side by side, and everything that a results folder holds: intervals, differences, verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import pandas as pd

from page4d.evaluate.statistics import (
    Table,
    average_of,
    difference,
    effect,
    interval_of,
    sequence_table,
    shared_sequences,
)
from page4d.evaluate.tables import Quoted, chosen_words, cost_of, measured_on, model_name, quoted_rows
from page4d.metrics import METRICS
from page4d.schema import Scores, UserError

AS_PUBLISHED = "as published"


def compare(ours: Scores, other: Scores) -> list[dict[str, Any]]:
    """Every headline score of one evaluation beside another's on the sequences that both have, with a verdict.

    Note:    difference is ours - other in the score's own unit with its paired 95 % bootstrap interval; the verdict
             weighs the relative change, see `Effect`. Nothing here is a test of significance.
    Raises:  UserError if they are of different benchmarks or protocols.
    """
    if _kind(ours) != _kind(other):
        raise UserError(f"cannot compare {_kind(ours)} with {_kind(other)}; score both alike")
    shared = shared_sequences(ours, other)
    if len(shared) < 2:
        return []
    first, second = sequence_table(ours, shared), sequence_table(other, shared)
    label = _label(ours) | {"against": model_name(other), "n": len(shared)}
    return [
        label | _pair_tables(first, second, metric) for metric in ours.better if metric in first.keys() & second.keys()
    ]


def _pair_tables(ours: Table, other: Table, metric: str) -> dict[str, Any]:
    base = average_of(other, metric)
    change, low, high = difference(ours, other, metric)
    # A base of 0 has differences but no relative change.
    verdict = str(effect(ours, other, metric)) if base != 0 else "no share of 0"
    values = {"metric": METRICS[metric].heading, "value": average_of(ours, metric), "value against": base}
    return values | {"difference": change, "low": low, "high": high, "verdict": verdict}


def comparison_table(results: Sequence[Scores], against: str | None = None) -> pd.DataFrame:
    """Every model beside one, benchmark by benchmark: `against`, or the first by name; empty if there is one alone."""
    rows: list[dict[str, Any]] = []
    for _, group in groupby(sorted(results, key=_order), _kind):
        alike = list(group)
        base = next((s for s in alike if s.origin["label"] == (against or alike[0].origin["label"])), None)
        for scores in alike:
            if base is not None and scores is not base:
                rows += compare(scores, base)
    return pd.DataFrame(rows)


def whole_table(results: Sequence[Scores]) -> pd.DataFrame:
    """One row for every headline score of every evaluation, and the published rows of the same benchmarks, marked."""
    rows: list[dict[str, Any]] = []
    for scores in sorted(results, key=_order):
        rows += [_measured(scores, metric) for metric in scores.better if metric in scores.mean]
    return pd.DataFrame(rows + list(_published(results)))


def _measured(scores: Scores, metric: str) -> dict[str, Any]:
    low, high = interval_of(scores, metric)
    value = {"metric": METRICS[metric].heading, "value": scores.mean[metric], "low": low, "high": high}
    about = {"unit": scores.units.get(metric, ""), "better": scores.better[metric], "n": f"{scores.n}/{scores.of}"}
    return _label(scores) | value | about | cost_of(scores) | {"status": measured_on([scores])}


def _published(results: Sequence[Scores]) -> Iterable[dict[str, Any]]:
    for name in dict.fromkeys(scores.benchmark for scores in results):
        task, _, dataset = name.partition("-")
        for row in quoted_rows(task, dataset):
            for metric, value in row.values.items():
                yield _quoted(row, metric, value)


def _quoted(row: Quoted, metric: str, value: float) -> dict[str, Any]:
    label = {"benchmark": f"{row.task}-{row.dataset}", "model": row.method, "protocol": AS_PUBLISHED}
    score = {"metric": METRICS[metric].heading, "value": value, "better": METRICS[metric].better}
    return label | {"settings": row.align} | score | {"status": row.status}


def _label(scores: Scores) -> dict[str, Any]:
    benchmark, protocol, settings = _kind(scores)
    return {"benchmark": benchmark, "model": model_name(scores), "protocol": protocol, "settings": settings}


def _kind(scores: Scores) -> tuple[str, str, str]:
    settings = ", ".join(chosen_words(scores).values())
    return f"{scores.benchmark} v{scores.version}", scores.protocol["name"], settings


def _order(scores: Scores) -> tuple[tuple[str, str, str], str]:
    return _kind(scores), model_name(scores)
