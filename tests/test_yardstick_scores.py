"""Answers without a network on benchmarks: closed forms, and the same code for them as for networks."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from little_benchmarks import small

from page4d.evaluate import angle_table, beside_strongest, depth_errors, depth_options, scores_table
from page4d.evaluate.harness import Study
from page4d.evaluate.planted import Planted, plant
from page4d.evaluate.pose_auc import relative_poses
from page4d.evaluate.yardstick_scores import depth_yardsticks, pair_scores
from page4d.geometry import rotation_angle_deg
from page4d.io.trajectories import rigid_inverse
from page4d.schema import UserError


def test_one_constant_is_scored_as_a_network_is(tmp_path):
    study = Study(small("videodepth", sequences=2), out=tmp_path)
    constant, rows = depth_yardsticks(study)
    options = depth_options(study.rules)
    expected = []
    for sequence in study.sequences():
        truth = np.stack([sequence.read_depth(path) for path in sequence.depths])
        expected.append(depth_errors(np.ones_like(truth), truth, options).abs_rel)
    assert [q.values["abs_rel"] for q in constant.sequences] == pytest.approx(expected, abs=1e-6)
    assert constant.origin["label"] == "one constant depth"
    assert {"abs_rel_still", "abs_rel_moving"} <= rows.mean.keys()
    table = scores_table([constant, rows])
    assert table["frames"].tolist() == [4, 4]
    assert table["frames"].dtype == int
    again, _ = depth_yardsticks(replace(study, align="scale&shift"))
    assert again.mean["abs_rel"] <= constant.mean["abs_rel"] * 1.5  # a shift alone: the clip's median depth


def test_the_better_answer_is_the_one_to_beat(tmp_path):
    study = Study(small("monodepth", sequences=3), out=tmp_path)
    yardsticks = depth_yardsticks(study)
    plant(study, "exact", Planted())
    exact = study.score("exact")
    who, found = beside_strongest(exact, yardsticks, "abs_rel")
    means = {q.origin["label"]: np.mean([s.values["abs_rel"] for s in q.sequences]) for q in yardsticks}
    assert who == min(means, key=lambda name: means[name])
    assert found.verdict == "better"


def test_a_constant_depth_is_a_flat_sheet_of_points(tmp_path):
    study = Study(small("points", sequences=1), out=tmp_path)
    sheet, curtain = depth_yardsticks(study)
    plant(study, "exact", Planted())
    exact = study.score("exact").mean["accuracy_mean"]
    assert exact < 1e-3 < min(sheet.mean["accuracy_mean"], curtain.mean["accuracy_mean"])


@pytest.mark.parametrize("task", ["pose", "relpose"])
def test_pairs_of_frames_have_every_answer(task, tmp_path):
    study = Study(small(task, sequences=2), out=tmp_path)
    plant(study, "exact", Planted())
    found = {scores.origin["label"]: scores for scores in pair_scores(study, ["exact"])}
    assert list(found) == ["exact", "still camera", "straight line", "random centres", "classical two-view"]
    assert found["exact"].mean["auc_3"] == pytest.approx(1, abs=1e-2)
    angles = angle_table(list(found.values()))
    assert angles.loc["exact"].max() < 0.1
    turns = []
    for sequence in study.sequences():
        true = torch.from_numpy(rigid_inverse(sequence.read_trajectory().world_from_camera))
        turns.append(float(rotation_angle_deg(relative_poses(true)[..., :3]).mean()))
    assert angles.loc["still camera", "rotation, mean"] == pytest.approx(np.mean(turns))
    assert angles.loc["still camera", "direction, median clip"] == 90
    assert angles.loc["still camera", "rotation, median clip"] == pytest.approx(np.median(turns))


def test_the_classical_pose_sees_more_at_twice_the_side(tmp_path):
    study = Study(small("relpose", sequences=1), out=tmp_path)
    labels = [scores.origin["label"] for scores in pair_scores(study, twice=True)]
    assert labels[-2:] == ["classical two-view", "classical at twice the size"]
    with pytest.raises(UserError, match="is not rendered"):
        pair_scores(replace(study, root=study.folder()), twice=True)


def test_other_benchmarks_are_refused(tmp_path):
    with pytest.raises(UserError, match="pose-synthetic is no benchmark of monodepth, videodepth, points"):
        depth_yardsticks(Study(small("pose"), out=tmp_path))
