"""Stored exams: scores of every sequence with their provenance, their means and intervals, and the aims."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from page4d.evaluate.exact_scores import SCORE_NAMES
from page4d.evaluate.statistics import Table, interval, means, table_of
from page4d.model import PAGE4D
from page4d.model.fingerprint import config_sha256, weights_sha256
from page4d.schema import UserError, atomic_write
from page4d.version import provenance

FORMAT = 1
DIGITS = 5


class Aim(NamedTuple):
    """What the small family should reach: the mean of a score, at most `limit`."""

    title: str
    score: str
    limit: float

    def verdict(self, mean: Mapping[str, float]) -> str:
        """What was measured, and whether that reaches the limit."""
        return f"{mean[self.score]:.3f}, {'reached' if mean[self.score] <= self.limit else 'missed'}"


AIMS = (
    Aim("depth AbsRel", "abs_rel", 0.15),
    Aim("rotation error as a share of a still camera's", "rotation_ratio", 0.40),
    Aim("ATE as a share of a still camera's", "ate_ratio", 0.50),
)


def summary(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means of the scores over sequences, and the ratios to the identity's; scores defined nowhere are left out."""
    return means(table_of(rows), SCORE_NAMES)


def write_result(path: Path | str, model: PAGE4D, rows: Sequence[Mapping[str, Any]], **about: Any) -> dict[str, Any]:
    """Store an evaluation with everything needed to trust it; returns what was stored.

    Note:    it holds about (label, split, command, ...), provenance, hashes of configuration and weights, n, mean,
             interval (95 %, bootstrap over sequences) and sequences (a list per score, in the order of the split).
    """
    table = table_of(rows)
    mean = summary(rows)
    document = {
        "format": FORMAT,
        "about": about,
        "provenance": provenance(),
        "config_sha256": config_sha256(model.config),
        "weights_sha256": weights_sha256(model),
        "n": len(rows),
        "mean": mean,
        "interval": {name: interval(table, name) for name in mean},
        "sequences": {name: [rounded(value) for value in column.tolist()] for name, column in table.items()},
    }
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "w") as stream:
        json.dump(document, stream, indent=None, separators=(",", ":"))
    return document


def rounded(value: float) -> float | None:
    """A number with the digits that are stored; None for what is not finite."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def read_result(path: Path | str) -> dict[str, Any]:
    """A stored evaluation or run.

    Raises:  UserError if the file is missing, damaged or of another format.
    """
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"cannot read the result {path}: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise UserError(f"{path} is no result of format {FORMAT}, which this page4d reads")
    return document


def stored_table(document: Mapping[str, Any]) -> Table:
    """The scores of every sequence of a stored evaluation; what was not defined is NaN."""
    columns = document["sequences"]
    return {name: np.array(column, dtype=np.float64) for name, column in columns.items()}
