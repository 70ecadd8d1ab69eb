"""Stored exams: scores of every clip, averages, intervals and provenance; the aims, and what became of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from page4d.evaluate.statistics import AGAIN, Effect, Table, averages, effect, interval, table_of
from page4d.evaluate.yardsticks import YARDSTICK_TITLES
from page4d.metrics import METRICS
from page4d.model import PAGE4D
from page4d.model.fingerprint import config_sha256, weights_sha256
from page4d.places import json_of
from page4d.schema import MALFORMED, UserError, atomic_write
from page4d.version import provenance

FORMAT = 1
DIGITS = 5
NETWORK = "network"
SHOWN = (
    "abs_rel", "abs_rel_still", "abs_rel_moving", "relative_rotation", "relative_rotation_median", "direction", "auc_3",
    "auc_5", "auc_15", "auc_30", "ate", "mask_auc", "geometric_auc",
)  # fmt: skip
"""What tables of exams hold, in this order; of the yardsticks only these are stored clip by clip."""
COMPARED = {
    "abs_rel": "AbsRel",
    "relative_rotation": "mean rotation",
    "relative_rotation_median": "median rotation",
    "direction": "direction",
}
"""Where a network should be ahead of every yardstick, and what each is called beside the others."""

Row = dict[str, Any]
Rows = list[Row]


@dataclass(frozen=True)
class Aim:
    """What the small family should reach: the average of a score, at most or at least `limit`."""

    title: str
    score: str
    limit: float

    def reached(self, value: float) -> bool:
        """Whether a measured average is good enough."""
        return value <= self.limit if METRICS[self.score].better == "lower" else value >= self.limit

    def wanted(self) -> str:
        """The limit in words."""
        bound = "at most" if METRICS[self.score].better == "lower" else "at least"
        return f"{bound} {self.limit:g}"


AIMS = (
    Aim("AbsRel on still pixels", "abs_rel_still", 0.12),
    Aim("AbsRel on moving pixels", "abs_rel_moving", 0.30),
    Aim("rotation error over all pairs, as a share of a still camera's", "relative_rotation_ratio", 0.35),
    Aim("median error of the direction of motion, degrees", "direction", 15),
    Aim("AUC of the network's mask against true motion", "mask_auc", 0.75),
    Aim("AUC of the geometric mask against true motion", "geometric_auc", 0.9),
)


@dataclass(frozen=True)
class AimOutcome:
    """What became of an aim: what was wanted, what was measured, whether that reaches it, and what needs no network."""

    title: str
    wanted: str
    measured: str
    reached: bool
    beside: str = ""

    def __str__(self) -> str:
        became = "reached" if self.reached else "missed"
        return f"{self.title}: {self.wanted} wanted; {self.measured}, {became}{self.beside}"


def outcomes(document: Mapping[str, Any]) -> list[AimOutcome]:
    """Every aim that a stored exam speaks of: the limits on its main split, and the yardsticks on every split."""
    found = []
    for aim in AIMS:
        if aim.score in document["mean"]:
            value = document["mean"][aim.score]
            told, beside = f"{value:.3f}{_around(document, aim)}", _without_network(document, aim)
            found.append(AimOutcome(aim.title, aim.wanted(), told, aim.reached(value), beside))
    for split, part in parts(document).items():
        if part.get("yardsticks"):
            found.append(_ahead(split, part))
    return found


def _around(document: Mapping[str, Any], aim: Aim) -> str:
    """The interval of what was measured, and whether it leaves open on which side of the limit it is."""
    if aim.score not in document.get("interval", {}):
        return ""
    low, high = document["interval"][aim.score]
    includes = f", which includes {aim.limit:g}" if low <= aim.limit <= high else ""
    return f" (interval {low:.3f} to {high:.3f}{includes})"


def _without_network(document: Mapping[str, Any], aim: Aim) -> str:
    """The best answer that needs no network, where the exam holds any."""
    found = {name: part["mean"].get(aim.score) for name, part in document.get("yardsticks", {}).items()}
    told = {name: value for name, value in found.items() if value is not None}
    if not told:
        return ""
    best = (min if METRICS[aim.score].better == "lower" else max)(told, key=lambda name: told[name])
    return f"; {YARDSTICK_TITLES[best]}: {told[best]:.3f}"


def parts(document: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """What an exam found on each of its splits, the main one first."""
    main = str(document["about"].get("split", ""))
    return {main: document, **document.get("also", {})}


@dataclass(frozen=True)
class Comparison:
    """A network beside one yardstick in one score, on the clips that both have answered."""

    score: str
    yardstick: str
    effect: Effect


def comparisons(part: Mapping[str, Any]) -> Iterator[Comparison]:
    """The network of a part of an exam beside every yardstick that says something about a score of `COMPARED`."""
    ours = stored_table(part)
    for name, found in part["yardsticks"].items():
        theirs = stored_table(found)
        for score in COMPARED:
            column = AGAIN.get(score, score)
            if column in theirs and column in ours:
                n = len(theirs[column])
                first = {key: values[:n] for key, values in ours.items()}
                yield Comparison(score, name, effect(first, theirs, score))


def _ahead(split: str, part: Mapping[str, Any]) -> AimOutcome:
    behind = [c for c in comparisons(part) if c.effect.verdict != "better"]
    told = [f"{COMPARED[c.score]} against {YARDSTICK_TITLES[c.yardstick]} ({c.effect})" for c in behind]
    measured = f"not ahead in {', '.join(told)}" if behind else "ahead in all"
    scores = ", ".join(COMPARED.values())
    return AimOutcome(f"yardsticks on {split}", f"ahead of each in {scores}", measured, not behind)


def summarize(rows: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Averages of the scores over clips, and the ratios to a still camera's; what is defined nowhere is left out."""
    return _means(table_of(rows))


def write_result(
    path: Path | str,
    model: PAGE4D,
    splits: Mapping[str, Mapping[str, Rows]],
    lengths: Mapping[int, Mapping[str, Rows]] | None = None,
    **about: Any,
) -> dict[str, Any]:
    """Store an exam with everything needed to trust it; returns what was stored.

    Note:    it holds about (label, split, command, ...), provenance, hashes of configuration and weights; of the first
             split n, mean (or median, as `METRICS` says), interval (95 %, bootstrap over clips), sequences (a list
             per score, in the order of the split) and yardsticks; the other splits under "also"; lengths under
             "frames", without sequences.
    """
    main, *others = splits
    also = {split: part_of(splits[split]) for split in others}
    frames = {str(count): part_of(found, with_clips=False) for count, found in (lengths or {}).items()}
    document = {"format": FORMAT, "about": about, "provenance": provenance()}
    document |= {"config_sha256": config_sha256(model.config), "weights_sha256": weights_sha256(model)}
    document |= part_of(splits[main])
    if also:
        document["also"] = also
    if frames:
        document["frames"] = frames
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "w") as stream:
        json.dump(document, stream, separators=(",", ":"))
    return document


def part_of(found: Mapping[str, Rows], with_clips: bool = True) -> dict[str, Any]:
    """What is stored of one set of clips: the network's scores, and those of the yardsticks below them."""
    part = _scores_of(found[NETWORK], with_clips)
    yardsticks = {name: _scores_of(rows, with_clips, SHOWN) for name, rows in found.items() if name != NETWORK}
    return part | ({"yardsticks": yardsticks} if yardsticks else {})


def _scores_of(rows: Rows, with_clips: bool, only: Sequence[str] | None = None) -> dict[str, Any]:
    table = table_of(rows)
    if only is not None:
        table = {name: column for name, column in table.items() if name in only and np.isfinite(column).any()}
    part: dict[str, Any] = {"n": len(rows), **_averaged(table)}
    if with_clips:
        part["sequences"] = {name: _rounded(column) for name, column in table.items()}
    return part


def _means(table: Table) -> dict[str, float]:
    return averages(table, [name for name in table if name != "moving_share"])


def _averaged(table: Table) -> dict[str, Any]:
    mean = _means(table)
    return {"mean": mean, "interval": {name: interval(table, name) for name in mean}}


def averaged_again(part: Mapping[str, Any]) -> dict[str, Any]:
    """A stored part of an exam with its averages and intervals, and its yardsticks', made anew from its clips."""
    again = {**part, **_averaged(stored_table(part))}
    if "yardsticks" in part:
        again["yardsticks"] = {name: averaged_again(found) for name, found in part["yardsticks"].items()}
    return again


def clips_with(part: Mapping[str, Any], score: str) -> int:
    """On how many clips of a stored part of an exam a score, or what it is made of, is defined."""
    column = AGAIN.get(score, score)
    stored = part.get("sequences", {}).get(column)
    return int(part["n"]) if stored is None else sum(value is not None for value in stored)


def round_stored(value: float) -> float | None:
    """A number with the digits that are stored; None for what is not finite."""
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None


def _rounded(column: NDArray[np.float64]) -> list[float | None]:
    return [round_stored(value) for value in column.tolist()]


def read_result(path: Path | str) -> dict[str, Any]:
    """A stored exam or run.

    Raises:  UserError if the file is missing, damaged or of another format.
    """
    try:
        document = json_of(Path(path))
        _check_columns(document)
    except (OSError, *MALFORMED) as error:
        raise UserError(f"cannot read the result {path}: {error}") from error
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise UserError(f"{path} is not a result of format {FORMAT}, which this page4d reads")
    return document


def _check_columns(part: Any) -> None:
    """Refuse a part of a result whose clips do not have a number, or null, in every column."""
    if not isinstance(part, dict):
        return
    for name, column in part.get("sequences", {}).items():
        numbers = [each for each in column if each is None or type(each) in (int, float)]
        if not len(column) == len(numbers) == part["n"]:
            raise ValueError(f"column {name} is no list of {part['n']} numbers")
    for each in part.values():
        _check_columns(each)


def stored_table(part: Mapping[str, Any]) -> Table:
    """The scores of every clip of a stored exam, or of one of its parts; what was not defined is NaN."""
    columns = part["sequences"]
    return {name: np.array(column, dtype=np.float64) for name, column in columns.items()}
