"""What the study stored, told: how its arms were trained, and the answers that need no network on the same clips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from page4d.evaluate.exam_results import stored_table
from page4d.evaluate.statistics import Table
from page4d.evaluate.yardsticks import MARKINGS, YARDSTICK_TITLES
from page4d.schema import UserError

STILL_CAMERA = "relative_rotation_identity"
SAME_WITHIN_DEG = 0.01
"""Stored scores are rounded to five digits."""
PRECISIONS = {"no": "float32"}
How = tuple[tuple[str, Any], ...]


def guesses_on(part: Mapping[str, Any], table: Table) -> dict[str, Table]:
    """The yardsticks of a part of a stored exam on the clips of a table, by their titles.

    Note:    the table's clips are the exam's first ones; where a yardstick looked at fewer, its title says so.
    Raises:  UserError if the cameras of the clips turn otherwise: then these are other clips.
    """
    n = len(table[STILL_CAMERA])
    turns = stored_table(part)[STILL_CAMERA][:n]
    if len(turns) < n or np.abs(turns - table[STILL_CAMERA]).max() > SAME_WITHIN_DEG:
        raise UserError(f"the exam's first {n} clips are not the {n} clips of the table; compare with another exam")
    found: dict[str, Table] = {}
    for name, stored in part["yardsticks"].items():
        if name in MARKINGS:
            continue  # it speaks of neither depth nor cameras
        columns = {score: values[:n] for score, values in stored_table(stored).items()}
        looked_at = len(next(iter(columns.values())))
        fewer = f" (first {looked_at})" if looked_at < n else ""
        found[YARDSTICK_TITLES[name] + fewer] = columns | {STILL_CAMERA: table[STILL_CAMERA][:looked_at]}
    return found


def trainings_text(documents: Iterable[Mapping[str, Any]]) -> str:
    """How the arms of a study were trained, in a sentence for all arms and seeds that were trained alike.

    Note:    steps and clips are ranges over the arms; what a result does not hold is not told.
    """
    of_arm: dict[tuple[str, How], list[Mapping[str, Any]]] = {}
    for about in (document["about"] for document in documents):
        if "steps" in about:
            of_arm.setdefault((about["variant"], tuple(about.get("trained", {}).items())), []).append(about)
    # An arm that was trained later, with all its seeds on one machine, is not one of those that shared a seed there.
    alike: dict[tuple[How, tuple[int, ...]], list[Mapping[str, Any]]] = {}
    for (_, how), abouts in of_arm.items():
        seeds = tuple(sorted(about["seed"] for about in abouts))
        alike.setdefault((how, seeds), []).extend(abouts)
    groups = sorted(alike.items(), key=lambda item: (-len(item[1]), item[0][1]))
    return " ".join(_trained(dict(how), seeds, abouts) for (how, seeds), abouts in groups)


def _trained(how: Mapping[str, Any], seeds: Sequence[int], abouts: Sequence[Mapping[str, Any]]) -> str:
    count = len({about["variant"] for about in abouts})
    arms = f"1 arm (*{abouts[0]['label']}*)" if count == 1 else f"{count} arms"
    steps = [about["steps"] for about in abouts]
    head = f"Seed {seeds[0]}" if len(seeds) == 1 else f"Seeds {', '.join(map(str, seeds[:-1]))} and {seeds[-1]}"
    if not how:
        return f"{head}: {arms} of {_range(steps)} steps."
    precision = PRECISIONS.get(how["precision"], how["precision"])
    looks = [number * how["clips_per_step"] for number in steps]
    clips = [number // how["steps_on_a_batch"] for number in looks]
    return (
        f"{head}: {arms} on {how['hardware']} in {precision}, {_range(steps)} steps, ended by {how['ended_by']}: "
        f"{_range(looks)} looks at {_range(clips)} different clips an arm."
    )


def _range(values: Sequence[int]) -> str:
    low, high = min(values), max(values)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
