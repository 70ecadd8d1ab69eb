"""Stored evaluations: scores of every sequence with their provenance, their means, intervals and differences."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from page4d.model import PAGE4D
from page4d.model.fingerprint import config_sha256, weights_sha256
from page4d.schema import UserError, atomic_write
from page4d.train.record import provenance, read_scalars
from page4d.train.scores import SCORE_NAMES

FORMAT = 1
RESAMPLES = 2000
DIGITS = 5
RATIOS = {f"{name}_ratio": (name, f"{name}_identity") for name in ("rotation", "ate", "translation")}


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

Table = Mapping[str, NDArray[np.float64]]


def summary(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Means of the scores over sequences, and the ratios to the identity's; scores defined nowhere are left out."""
    mean = {}
    for name in SCORE_NAMES:
        values = [row[name] for row in rows if math.isfinite(row[name])]
        if values:
            mean[name] = math.fsum(values) / len(values)
    for ratio, (ours, identity) in RATIOS.items():
        if mean.get(identity, 0.0) > 0:
            mean[ratio] = mean[ours] / mean[identity]
    return mean


def table_of(rows: Sequence[Mapping[str, Any]]) -> Table:
    """The numbers of rows as columns; what is not a number in every row is left out."""
    names = [name for name, value in rows[0].items() if isinstance(value, float)]
    return {name: np.array([row[name] for row in rows], dtype=np.float64) for name in names}


def mean_of(table: Table, metric: str) -> float:
    """Mean over the sequences where a metric is defined, or the ratio of two means; NaN if defined nowhere."""
    if metric in RATIOS:
        ours, identity = RATIOS[metric]
        return mean_of(table, ours) / mean_of(table, identity)
    values = table[metric][np.isfinite(table[metric])]
    return float(values.mean()) if len(values) else math.nan


def bootstrap(statistic: Callable[[NDArray[np.int64]], float], n: int, seed: int = 0) -> tuple[float, float]:
    """95 % percentile interval of a statistic of resampled sequence numbers.

    Source:  Efron & Tibshirani, "An Introduction to the Bootstrap" (1993), chapter 13.
    """
    generator = np.random.default_rng(seed)
    values = [statistic(generator.integers(0, n, n)) for _ in range(RESAMPLES)]
    low, high = np.nanquantile(values, (0.025, 0.975))
    return float(low), float(high)


def interval(table: Table, metric: str) -> tuple[float, float]:
    """95 % bootstrap interval over sequences of `mean_of`."""
    return bootstrap(lambda picks: _picked_mean(table, metric, picks), len(table[SCORE_NAMES[0]]))


def _picked_mean(table: Table, metric: str, picks: NDArray[np.int64]) -> float:
    return mean_of({name: table[name][picks] for name in RATIOS.get(metric, (metric,))}, metric)


def difference(ours: Table, other: Table, metric: str) -> tuple[float, float, float]:
    """Change of a metric from `other` to `ours` on the same sequences: value and 95 % interval, paired.

    Errors:  UserError if the two evaluations have different numbers of sequences.
    """
    n, m = len(ours[SCORE_NAMES[0]]), len(other[SCORE_NAMES[0]])
    if n != m:
        raise UserError(f"cannot pair {n} sequences with {m}; evaluate both on the same ones")

    def change(picks: NDArray[np.int64]) -> float:
        return _picked_mean(ours, metric, picks) - _picked_mean(other, metric, picks)

    return change(np.arange(n)), *bootstrap(change, n)


def write_result(path: Path | str, model: PAGE4D, rows: Sequence[Mapping[str, Any]], **about: Any) -> dict[str, Any]:
    """Store an evaluation with everything needed to trust it; returns what was stored.

    Content:  about (label, split, command, ...), provenance, hashes of configuration and weights, n, mean, interval
              (95 %, bootstrap over sequences), sequences (a list a score, in the order of the split).
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
        "sequences": {name: [_short(value) for value in column.tolist()] for name, column in table.items()},
    }
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "w") as stream:
        json.dump(document, stream, indent=None, separators=(",", ":"))
    return document


def _short(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def read_result(path: Path | str) -> dict[str, Any]:
    """A stored evaluation or run.

    Errors:  UserError if the file is missing, damaged or of another format.
    """
    try:
        document = json.loads(Path(path).read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise UserError(f"cannot read the result {path}: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise UserError(f"{path} is no result of format {FORMAT}, which this page4d reads")
    return document


def finished_run(run_folder: Path | str) -> dict[str, Any]:
    """run.json of a run that ended.

    Errors:  UserError if the folder holds none.
    """
    about = Path(run_folder) / "run.json"
    if not about.is_file() or "ended" not in (values := json.loads(about.read_text())):
        raise UserError(f"{run_folder} holds no finished run; train to the end first")
    return dict(values)


def store_run(run_folder: Path | str, path: Path | str, points: int = 200) -> dict[str, Any]:
    """Keep what a run was and a thinned copy of its log, small enough to travel with the book; returns it.

    Errors:  UserError if the folder holds no finished run.
    """
    values = finished_run(run_folder)
    records = read_scalars(Path(run_folder))
    train = [r for r in records if r["phase"] == "train"]
    step = max(1, len(train) // points)
    kept = [*train[::step], *(r for r in records if r["phase"] != "train")]
    short: list[dict[str, Any]] = [
        {k: _short(v) if isinstance(v, float) else v for k, v in record.items()} for record in kept
    ]
    document = {"format": FORMAT, "run": values, "records": sorted(short, key=lambda r: r["iteration"])}
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "w") as stream:
        json.dump(document, stream, separators=(",", ":"))
    return document


def stored_table(document: Mapping[str, Any]) -> Table:
    """The scores of every sequence of a stored evaluation; what was not defined is NaN."""
    return {name: np.array(column, dtype=np.float64) for name, column in document["sequences"].items()}
