"""Finished runs: what they were, and the thinned copy of their log that travels with the book."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from page4d.evaluate.exam_results import FORMAT, round_stored
from page4d.schema import UserError, atomic_write
from page4d.train.record import read_run_file, read_scalars


def finished_run(run_folder: Path | str) -> dict[str, Any]:
    """run.json of a run that ended.

    Raises:  UserError if the folder holds none, or its run.json is damaged.
    """
    about = Path(run_folder) / "run.json"
    if not about.is_file() or "ended" not in (values := read_run_file(Path(run_folder))):
        raise UserError(f"{run_folder} holds no finished run; train to the end first")
    return values


def _shortened(record: dict[str, Any]) -> dict[str, Any]:
    """A record with few digits."""
    return {key: round_stored(value) if isinstance(value, float) else value for key, value in record.items()}


def store_run(run_folder: Path | str, path: Path | str, points: int = 200) -> dict[str, Any]:
    """Keep what a run was and a thinned copy of its log, small enough to travel with the book; returns it.

    Raises:  UserError if the folder holds no finished run.
    """
    values = finished_run(run_folder)
    records = read_scalars(Path(run_folder))
    train = [r for r in records if r["phase"] == "train"]
    step = max(1, len(train) // points)
    kept = [*train[::step], *(r for r in records if r["phase"] != "train")]
    short = sorted(map(_shortened, kept), key=lambda record: record["iteration"])
    document = {"format": FORMAT, "run": values, "records": short}
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path, "w") as stream:
        json.dump(document, stream, separators=(",", ":"))
    return document


def pictures_seen(stages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Records of stored runs that go on from one another, each with the `pictures` seen since the first began.

    Note:    a batch of clips of several lengths holds as many pictures as one of the length that its world states. A
             picture that is used in two steps (`trainer.reuse`) counts twice.
    """
    records = []
    before = 0
    for stage in stages:
        data = stage["run"]["config"]["data"]
        a_step = data["batch_size"] * data["world"]["frames"] * stage["run"]["config"]["trainer"]["accumulate"]
        records += [record | {"pictures": before + record["step"] * a_step} for record in stage["records"]]
        before += stage["run"]["ended"]["step"] * a_step
    return records


def last_doubling(records: Sequence[Mapping[str, Any]], name: str) -> float | None:
    """How a logged score changed, as a share, while the pictures seen doubled for the last time; None without two.

    Note:    `records` are those of `pictures_seen`. Between two measurements a score is taken from the straight line on
             logarithmic axes, so it must be above 0.
    """
    points = [(record["pictures"], record[name]) for record in records if record.get(name) is not None]
    if len(points) < 2 or points[0][0] > points[-1][0] / 2:
        return None
    seen, values = np.log(np.array(points)).T
    at_half = np.interp(seen[-1] - math.log(2), seen, values)
    return math.exp(values[-1] - at_half) - 1
