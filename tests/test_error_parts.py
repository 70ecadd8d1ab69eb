"""Where the error sits: moving and still pixels and points, what flow says of motion, calibration of the confidence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from little_benchmarks import small
from writers import sintel
from writers.benchmarks import WRITERS
from writers.scene import room

from page4d.evaluate import open_benchmark
from page4d.evaluate.harness import Study
from page4d.evaluate.motion_truth import FLOW_MISFIT_PX, moving_by_flow
from page4d.evaluate.planted import Planted, plant
from page4d.evaluate.points import point_errors
from page4d.evaluate.scoring import weighted_means
from page4d.evaluate.tasks import TASKS
from page4d.schema import Prediction, Scores, SequenceScore, UserError


@pytest.fixture
def study(tmp_path) -> Study:
    return Study(small("videodepth", sequences=2), align="metric", out=tmp_path)


def change(made: Study, edit) -> Scores:
    """Exact predictions, edited with the true mask, scored."""
    folder = plant(made, "made", Planted())
    for sequence in made.sequences():
        path = folder / f"{sequence.name}.npz"
        stored = Prediction.load(path)
        moving = np.stack([sequence.read_motion(image).moving for image in sequence.images])
        edit(stored, moving).save(path)
    return made.score("made")


def test_moving_and_still_pixels_have_their_own_error_and_together_the_whole(study):
    def edit(p, moving):
        return replace(p, depth=p.depth * np.where(moving, 1.5, 1.1).astype(np.float32))

    scores = change(study, edit)
    assert scores.mean["abs_rel_moving"] == pytest.approx(0.5, rel=1e-5)
    assert scores.mean["abs_rel_still"] == pytest.approx(0.1, rel=1e-5)
    moving = sum(q.weights["abs_rel_moving"] for q in scores.sequences)
    still = sum(q.weights["abs_rel_still"] for q in scores.sequences)
    assert moving + still == sum(q.weight for q in scores.sequences)
    assert scores.mean["abs_rel"] == pytest.approx((0.5 * moving + 0.1 * still) / (moving + still), rel=1e-5)
    assert "ause" not in scores.mean  # every confidence is 1: it says nothing
    assert scores.better["abs_rel_moving"] == "lower"


@pytest.mark.parametrize("most", [None, 500])
def test_a_confidence_that_orders_pixels_as_their_errors_is_calibrated(study, monkeypatch, most):
    if most is not None:
        monkeypatch.setattr("page4d.evaluate.error_parts.MAX_PIXELS", most)

    def known(p, moving):
        wrong = np.where(moving, 1.5, 1.1).astype(np.float32)
        return replace(p, depth=p.depth * wrong, depth_conf=(1 / wrong).astype(np.float32))

    assert change(study, known).mean["ause"] == pytest.approx(0, abs=1e-4)
    opposite = change(study, lambda p, m: replace(known(p, m), depth_conf=1 / known(p, m).depth_conf))
    assert opposite.mean["ause"] > 0.1
    chance = [q.notes["ause_of_chance"] for q in opposite.sequences]
    assert opposite.mean["ause"] > np.mean(chance)


def test_optional_scores_are_averaged_over_the_sequences_that_have_them():
    rows = [
        SequenceScore("a", dict.fromkeys(TASKS["videodepth"].metrics, 0.1) | {"ause": 0.3}, 1.0),
        SequenceScore("b", dict.fromkeys(TASKS["videodepth"].metrics, 0.4), 2.0),
    ]
    means = weighted_means(rows, TASKS["videodepth"], "x")
    assert means["abs_rel"] == pytest.approx(0.3)
    assert means["ause"] == pytest.approx(0.3)
    assert "abs_rel_moving" not in means


def test_flow_tells_what_moves_as_the_exact_mask_does():
    clip = room(3, frames=4, camera_speed=(0.3, 0.3), tripod_chance=0.0, moving_bodies=(3, 3), body_speed=(0.5, 1.0))
    found, true = [], []
    for i in range(3):
        cameras = [(clip.K[k].double().numpy(), clip.cam_from_world[k].double().numpy()) for k in (i, i + 1)]
        motion = moving_by_flow(clip.depth[i].numpy(), clip.flow[i].numpy(), *cameras)
        assert motion.known.all()
        found.append(motion.moving)
        true.append(clip.moving[i].numpy())
    found, true = np.stack(found), np.stack(true)
    assert true.any()
    assert not (found & ~true).any()  # nothing still is called moving
    assert (found & true).sum() > 0.5 * true.sum()


def test_flow_of_a_known_shift_and_pixels_without_depth():
    depth, K = np.full((4, 6), 2.0, np.float32), np.array([[10.0, 0, 2.5], [0, 10, 1.5], [0, 0, 1]])
    depth[0, 0] = 0
    still, aside = np.eye(4), np.eye(4)
    aside[0, 3] = 0.4  # the world moves 2 px to the right
    flow = np.zeros((4, 6, 2), np.float32)
    flow[..., 0] = 2
    flow[1, 2, 1] = FLOW_MISFIT_PX + 0.1
    flow[2, 3, 0] += FLOW_MISFIT_PX - 0.1
    motion = moving_by_flow(depth, flow, (K, still), (K, aside))
    assert np.argwhere(motion.moving).tolist() == [[1, 2]]
    assert np.argwhere(~motion.known).tolist() == [[0, 0]]


def test_sintel_with_flow_splits_the_error_and_without_flow_does_not(tmp_path: Path):
    clip = room(3, frames=4, camera_speed=(0.5, 0.5), tripod_chance=0.0)
    sintel.write(tmp_path, {"alley_2": clip})
    benchmark = replace(open_benchmark("videodepth-sintel"), sequences=("alley_2",))
    made = Study(benchmark, root=tmp_path, out=tmp_path / "out")
    (sequence,) = made.sequences()
    assert sequence.read_motion(sequence.images[3]) is None  # the last frame has no flow
    assert sequence.read_motion(sequence.images[0]).known.any()
    plant(made, "noisy", Planted(depth_sigma=0.1))
    with_flow = made.score("noisy")
    assert {"abs_rel_still", "abs_rel_moving"} & with_flow.mean.keys()
    pixels = sum(with_flow.sequences[0].weights.values())
    assert pixels == pytest.approx(0.75 * with_flow.sequences[0].weight, rel=0.01)
    (tmp_path / "training" / "depth" / "alley_2" / "frame_0001.dpt").rename(tmp_path / "away.dpt")
    with pytest.raises(UserError, match="flow without depth or camera"):
        sequence.read_motion(sequence.images[0])
    (tmp_path / "away.dpt").rename(tmp_path / "training" / "depth" / "alley_2" / "frame_0001.dpt")
    (tmp_path / "training" / "flow").rename(tmp_path / "flow")
    without = made.score("noisy")
    assert not {"abs_rel_still", "abs_rel_moving"} & without.mean.keys()
    assert without.mean["abs_rel"] == with_flow.mean["abs_rel"]


@pytest.mark.parametrize("name", ["spring", "kubric", "dynamic_replica"])
def test_rendered_data_sets_tell_moving_from_still(name, tmp_path):
    lens = {"anisotropy": 0.0, "centre_offset": (-0.5 / 64, -0.5 / 48)}
    clip = room(3, frames=3, camera_speed=(0.5, 0.5), tripod_chance=0.0, **lens)
    WRITERS[name](tmp_path, {"one": clip})
    made = Study(open_benchmark(f"videodepth-{name}"), align="metric", root=tmp_path, out=tmp_path / "out")
    (sequence,) = made.sequences()
    plant(made, "noisy", Planted(depth_sigma=0.1))
    scores = made.score("noisy")
    assert scores.mean["abs_rel_still"] > 0.01
    if name == "kubric":
        return  # without object poses in its metadata nothing moves; its reader has tests of its own
    moving = np.stack([sequence.read_motion(image).moving for image in sequence.images])
    assert (moving == clip.moving.numpy()).mean() > 0.99
    assert scores.sequences[0].weights["abs_rel_moving"] > 0


def test_points_of_what_moves_have_their_own_accuracy(tmp_path):
    truth = np.random.default_rng(0).normal(0, 10, (600, 3))
    wrong = truth.copy()
    motion = np.zeros(600, np.int8)
    motion[:20], motion[20:40] = 1, -1
    wrong[:20] += 0.01
    errors = point_errors(wrong, truth, motion)
    assert errors.accuracy_moving > 10 * errors.accuracy_still
    assert point_errors(wrong, truth, np.zeros_like(motion)).accuracy_moving is None
    made = Study(small("points", sequences=1), out=tmp_path)
    plant(made, "noisy", Planted(depth_sigma=0.05))
    assert made.score("noisy").mean["accuracy_still"] > 0
