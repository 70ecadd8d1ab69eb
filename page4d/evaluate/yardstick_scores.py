"""The yardsticks on a benchmark: answers that need no network, on its sequences, scored by what scores networks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from page4d.evaluate.benchmark import Benchmark
from page4d.evaluate.exact_scores import ExactTruth
from page4d.evaluate.harness import Study
from page4d.evaluate.pose_auc import relative_poses
from page4d.evaluate.predictions import Origin, prediction_of
from page4d.evaluate.relpose_scoring import known_cameras, score_pairs
from page4d.evaluate.rules import Rules, UnscorableError
from page4d.evaluate.scoring import weighted_means, why_not_predicted
from page4d.evaluate.sequence import EvalSequence
from page4d.evaluate.tasks import RELPOSE
from page4d.evaluate.yardsticks import GUESSES, YARDSTICK_TITLES, Guess, classical_pairs
from page4d.io.pictures import open_rgb
from page4d.schema import Prediction, Scores, SequenceScore, UserError
from page4d.version import code_revision
from page4d.world import WORLD_VERSION

PairsSaid = Callable[[EvalSequence, list[int]], Tensor]
ANGLES = {"relative_rotation": "rotation_deg", "direction": "direction_deg"}
"""A score of camera pairs, and the note of a sequence that has it."""
LONGEST_SIDE_PX = 518  # what the released networks see
DEPTH_TASKS = ("monodepth", "videodepth", "points")


def depth_yardsticks(study: Study) -> list[Scores]:
    """One constant depth, and the usual depth of each image row, scored as a network's depth is.

    Note:    their cameras stand still and have a lens as long as the picture is wide, so that in a benchmark of points
             the constant is a flat sheet. What a row usually has was measured on the synthetic world's training split,
             whatever the benchmark. They are written where the study looks for predictions, under their titles.
    Raises:  UserError for a benchmark of something else.
    """
    if study.benchmark.task not in DEPTH_TASKS:
        raise UserError(f"{study.benchmark.name} is no benchmark of {', '.join(DEPTH_TASKS)}; cameras: pair_scores")
    return [_depth_scores(study, guess) for guess in GUESSES.values() if guess.about == "depth"]


def _depth_scores(study: Study, guess: Guess) -> Scores:
    benchmark, title = study.benchmark, guess.title
    folder = study.predictions(title)
    Origin(benchmark.name, benchmark.version, title, "yardstick", "none", "none", None).save(folder)
    for sequence in study.sequences():
        path = folder / f"{sequence.name}.npz"
        if not path.exists():
            prediction = _guessed(sequence, guess)
            prediction.meta.update(config_sha256="none", weights_sha256="none", label=title, device_name="any computer")
            prediction.save(path)
    return study.score(title)


def _guessed(sequence: EvalSequence, guess: Guess) -> Prediction:
    frames, (height, width) = len(sequence.images), sequence.read_depth(sequence.depths[0]).shape
    # A guess has no details: more pixels than a network gives would only fill disks.
    shrunk = min(1.0, LONGEST_SIDE_PX / max(height, width))
    rows, columns = round(height * shrunk), round(width * shrunk)
    said = guess.answer(_shape_of(frames, rows, columns), WORLD_VERSION).depth
    assert said is not None
    K = np.array([[columns, 0, (columns - 1) / 2], [0, columns, (rows - 1) / 2], [0, 0, 1]], np.float32)
    poses = np.tile(np.eye(4), (frames, 1, 1))
    return prediction_of(sequence, said[0].numpy(), poses, np.tile(K, (frames, 1, 1)), (height, width))


def _shape_of(frames: int, height: int = 1, width: int = 1) -> ExactTruth:
    """All that a yardstick reads of a truth."""
    nothing = torch.zeros(1, frames, height, width)
    return ExactTruth(torch.zeros(1, frames, 3, 4, dtype=torch.float64), nothing, nothing.bool())


def pair_scores(study: Study, labels: Sequence[str] = (), *, twice: bool = False) -> list[Scores]:
    """Cameras over all pairs of frames: those already predicted for `labels`, then the answers that need no network.

    Note:    for benchmarks of pose and of relpose. Each sequence has its mean rotation error as `relative_rotation` and
             the median error of its directions as `direction`, besides the shares of pairs that a table shows. The
             classical two-view pose sees the pictures as they are stored, with their true intrinsics, where the layout
             knows them; a pair takes 15 ms at 112 px. With `twice` the synthetic world is also rendered at twice the
             side for it.
    Raises:  UserError if a label has no predictions, or a benchmark no true cameras.
    """
    rules = replace(study.rules, benchmark=replace(study.benchmark, task="relpose"))
    sequences = study.sequences()
    found = [_scores_of(rules, label, sequences, partial(_predicted, study.predictions(label))) for label in labels]
    of_cameras = [guess for guess in GUESSES.values() if guess.about == "cameras"]
    found += [_scores_of(rules, guess.title, sequences, partial(_guessed_pairs, guess)) for guess in of_cameras]
    looks = {"classical": sequences} | ({"classical_twice": _at_twice(study).sequences()} if twice else {})
    for name, seen in looks.items():
        if all(one.read_camera is not None for one in seen):
            found.append(_scores_of(rules, YARDSTICK_TITLES[name], seen, _classical))
    return found


def angle_table(pairs: Sequence[Scores]) -> pd.DataFrame:
    """Angles of camera pairs, a row for each answer: `pair_scores` in degrees.

    Note:    the mean of rotations follows the few clips that went wrong, their median does not, so both stand there.
    """
    rows = {}
    for scores in pairs:
        done = [sequence.values for sequence in scores.sequences if sequence.error is None]
        found = pd.DataFrame(done)
        rows[str(scores.origin["label"])] = {
            "rotation, mean": found["relative_rotation"].mean(),
            "rotation, median clip": found["relative_rotation"].median(),
            "direction, median clip": found["direction"].median(),
        }
    return pd.DataFrame(rows).T.rename_axis(columns="degrees")


def _scores_of(rules: Rules, label: str, sequences: Sequence[EvalSequence], says: PairsSaid) -> Scores:
    """Scores of what is said about the relative poses of the known frames of every sequence."""
    rows = []
    for sequence in sequences:
        frames, true = known_cameras(sequence)
        try:
            row = score_pairs(sequence, says(sequence, frames), true, rules)
            angles = {name: row.notes[note] for name, note in ANGLES.items()}
            notes = row.notes | {"frames_in": float(len(sequence.images))}
            rows.append(replace(row, values=row.values | angles, notes=notes))
        except UnscorableError as error:
            rows.append(SequenceScore(sequence.name, error=str(error)))
    told = rules.benchmark
    origin = {"label": label, "source": "yardstick", "hardware": "any computer", "scored_by_revision": code_revision()}
    origin["date"] = datetime.now(UTC).date().isoformat()
    mean = weighted_means(rows, RELPOSE, told.name)
    units = RELPOSE.units(told.unit)
    protocol = rules.protocol.to_dict()
    return Scores(told.name, told.version, told.task, protocol, mean, tuple(rows), RELPOSE.better(), units, origin)


def _predicted(folder: Path, sequence: EvalSequence, frames: list[int]) -> Tensor:
    path = folder / f"{sequence.name}.npz"
    if not path.exists():
        raise UnscorableError(why_not_predicted(path))
    prediction = Prediction.load(path)
    return relative_poses(torch.from_numpy(prediction.cam_from_world[frames].astype(np.float64)))


def _guessed_pairs(guess: Guess, sequence: EvalSequence, frames: list[int]) -> Tensor:
    said = guess.answer(_shape_of(len(frames)), WORLD_VERSION).cam_from_world
    assert said is not None
    return relative_poses(said[0])


def _classical(sequence: EvalSequence, frames: list[int]) -> Tensor:
    read = sequence.read_camera
    assert read is not None
    paths = [sequence.images[i] for i in frames]
    K = torch.from_numpy(np.stack([read(path)[1] for path in paths]))
    images = torch.stack([_picture(path) for path in paths])
    said = classical_pairs(images[None], K[None]).first_from_second
    assert said is not None
    return said[0]


def _picture(path: Path) -> Tensor:
    """(3, H, W) in [0, 1], as it is stored."""
    pixels = np.array(open_rgb(path, rotate=False))
    return torch.from_numpy(pixels).permute(2, 0, 1) / 255


def _at_twice(study: Study) -> Study:
    """The same scenes of the synthetic world, rendered at twice the size."""
    settings = dict(study.benchmark.settings or {})
    world = dict(settings.get("world", {}))
    if study.root is not None or not {"height", "width"} <= world.keys():
        raise UserError(f"{study.benchmark.name} is not rendered, so there is no picture of it at twice the size")
    doubled = {name: 2 * world[name] for name in ("height", "width")}
    benchmark: Benchmark = replace(study.benchmark, settings=settings | {"world": world | doubled})
    return replace(study, benchmark=benchmark)
