"""Loop two: Prediction files and ground truth to Scores; no network, no GPU."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from page4d.evaluate.alignment import NoFitError
from page4d.evaluate.predictions import Origin, same_maker
from page4d.evaluate.rules import Rules, UnscorableError
from page4d.evaluate.sequence import EvalSequence
from page4d.evaluate.tasks import Task, task_of
from page4d.places import json_of
from page4d.schema import MALFORMED, Prediction, Scores, SequenceScore, UserError
from page4d.version import code_revision


def score_benchmark(
    sequences: Sequence[EvalSequence], folder: Path, rules: Rules, expected: Origin | None = None
) -> Scores:
    """Score a folder of predictions.

    Note:    `expected` is what must have made them, if the caller knows; a mismatch is refused.
    Raises:  UserError for predictions of another model, benchmark or input than asked, or of other images, and if
             no sequence at all could be scored.
    """
    origin = Origin.load(folder)
    _check_origin(origin, rules, expected, folder)
    rules = replace(rules, folder=folder)
    benchmark, task = rules.benchmark, task_of(rules.benchmark.task)
    scores, metas = [], []
    for sequence in sequences:
        score, meta = _score_or_reason(sequence, folder, origin, rules)
        scores.append(score)
        metas.append(meta)
    protocol = rules.protocol.to_dict() | rules.chosen(task.choices)
    mean = weighted_means(scores, task, benchmark.name)
    better, units = task.better(mean), task.units(benchmark.unit, mean)
    made_by = _provenance(origin, metas)
    return Scores(
        benchmark.name, benchmark.version, benchmark.task, protocol, mean, tuple(scores), better, units, made_by
    )


def weighted_means(scores: Sequence[SequenceScore], task: Task, benchmark: str) -> dict[str, float]:
    """Means over the sequences that could be scored, each with its weight; optional scores over those that have them.

    Note:    the released pose script averages every report that lies in the folder, old ones too (E10).
    """
    done = [score for score in scores if score.error is None]
    if not done:
        reasons = "; ".join(f"{score.name}: {score.error}" for score in scores[:3])
        raise UserError(f"{benchmark}: none of {len(scores)} sequences could be scored ({reasons})")
    means = {}
    for name in (*task.metrics, *task.optional):
        having = [score for score in done if name in score.values or name in task.metrics]
        if having:
            weights = np.array([score.weights.get(name, score.weight) for score in having])
            values = np.array([score.values[name] for score in having])
            means[name] = float(weights @ values / weights.sum())
    return means


def _check_origin(origin: Origin, rules: Rules, expected: Origin | None, folder: Path) -> None:
    if expected is not None:
        expected.check(origin, folder)
    made_for, asked_for = (origin.benchmark, origin.benchmark_version), (rules.benchmark.name, rules.benchmark.version)
    if made_for != asked_for:
        raise UserError(
            f"{folder} holds predictions for {origin.benchmark} version {origin.benchmark_version}, asked to score "
            f"{rules.benchmark.name} version {rules.benchmark.version}; predict again"
        )
    if (
        origin.source == "external"
        and rules.benchmark.task == "videodepth"
        and rules.protocol.depth_source == "world_z"
    ):
        raise UserError(
            f"{folder} holds converted depth, which is own-camera depth without intrinsics; world z cannot be made of "
            "it: score it with protocol=standard, or with options.depth_source=own_camera"
        )
    inputs = rules.protocol.input_key(rules.benchmark.task)
    if origin.inputs is not None and origin.inputs != inputs:
        raise UserError(
            f"{folder}: the network saw {origin.inputs}, protocol {rules.protocol.name} wants {inputs}; "
            "predict again with this protocol"
        )


def _provenance(origin: Origin, metas: Iterable[dict[str, Any]]) -> dict[str, Any]:
    known = [meta for meta in metas if meta]
    revisions = sorted({str(m["code_revision"]) for m in known if "code_revision" in m})
    devices = sorted({str(m["device_name"]) for m in known if "device_name" in m})
    named = ("label", "source", "config_sha256", "weights_sha256")
    told = {name: getattr(origin, name) for name in named}
    return told | {
        "predicted_by_revision": ", ".join(revisions),
        "hardware": ", ".join(devices),
        "scored_by_revision": code_revision(),
        "date": datetime.now(UTC).date().isoformat(),
    }


def _score_or_reason(
    sequence: EvalSequence, folder: Path, origin: Origin, rules: Rules
) -> tuple[SequenceScore, dict[str, Any]]:
    path = folder / f"{sequence.name}.npz"
    if not path.exists():
        return SequenceScore(sequence.name, error=why_not_predicted(path)), {}
    prediction = Prediction.load(path)
    if not same_maker(prediction.meta, origin):
        raise UserError(f"{path} was made by another network than the folder says; predict again into an empty folder")
    names = tuple(p.name for p in sequence.images)
    if prediction.frame_names != names:
        raise UserError(
            f"{path} holds {len(prediction)} frames from {prediction.frame_names[:1]}, the benchmark has {len(names)} "
            f"from {names[:1]}; the images have changed since, predict again"
        )
    try:
        score = task_of(rules.benchmark.task).score(sequence, prediction, rules)
        return replace(score, notes=score.notes | _cost(prediction)), prediction.meta
    except (UnscorableError, NoFitError) as error:
        return SequenceScore(sequence.name, error=str(error)), prediction.meta


def why_not_predicted(path: Path) -> str:
    """Why there is no prediction at this path, as far as the `.failed.json` beside it says."""
    failed = path.with_name(f"{path.stem}.failed.json")
    if not failed.exists():
        return "not predicted"
    try:
        return str(json_of(failed)["error"])
    except (OSError, *MALFORMED):
        return f"not predicted, and {failed.name} is damaged"


def _cost(prediction: Prediction) -> dict[str, float]:
    """Frames that went in and, where this program predicted them, seconds and peak memory."""
    told = prediction.meta.get("cost", {})
    return {"frames_in": float(len(prediction))} | {name: float(value) for name, value in told.items()}
