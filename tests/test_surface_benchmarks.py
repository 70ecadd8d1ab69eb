"""Point maps as surfaces on 7-Scenes, Neural RGB-D and the synthetic twin."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from little_benchmarks import small
from writers.benchmarks import WRITERS
from writers.scene import room

from page4d.evaluate import open_benchmark, surfaces_scoring
from page4d.evaluate.harness import Study
from page4d.evaluate.indoor_scenes import read_millimetres
from page4d.evaluate.planted import Planted, plant
from page4d.evaluate.points import score_points
from page4d.evaluate.protocol import STANDARD, with_options
from page4d.evaluate.rules import UnscorableError
from page4d.evaluate.surfaces import surface_errors
from page4d.evaluate.surfaces_scoring import score_surfaces
from page4d.io.trajectories import read_matrix, read_matrix_blocks
from page4d.schema import Prediction, UserError

FIVE = {"frames": 5, "camera_speed": (0.5, 0.5), "tripod_chance": 0.0}


@pytest.fixture
def study(tmp_path) -> Study:
    return Study(small("surfaces", sequences=1), out=tmp_path)


def test_icp_takes_back_what_one_wrong_frame_did_to_the_alignment(study):
    folder = plant(study, "one_off", Planted())
    path = folder / "scene_00.npz"
    stored = Prediction.load(path)
    depth = stored.depth.copy()
    depth[3] *= 1.3
    replace(stored, depth=depth).save(path)
    refined, plain = study.score("one_off"), replace(study, icp="none").score("one_off")
    assert refined.protocol["icp"] == "point_to_point"
    assert refined.mean["accuracy_median"] < plain.mean["accuracy_median"]
    assert study.scores_file("one_off") != replace(study, icp="none").scores_file("one_off")
    with pytest.raises(UserError, match="choose one of 'point_to_point', 'none'"):
        replace(study, icp="open3d").score("one_off")


def test_values_are_those_of_the_measures_on_the_clouds(study):
    plant(study, "noisy", Planted(depth_sigma=0.05))
    made = replace(study, icp="none")
    scores = made.score("noisy")
    (sequence,) = made.sequences()
    prediction = Prediction.load(made.predictions("noisy") / "scene_00.npz")
    from page4d.evaluate.points import aligned_clouds, corresponding_points

    aligned, _ = aligned_clouds(corresponding_points(sequence, prediction, made.rules))
    found = surface_errors(aligned.predicted, aligned.true)
    assert scores.mean["accuracy_mean"] == pytest.approx(found.accuracy_mean)
    assert scores.mean["completeness_median"] == pytest.approx(found.completeness_median)
    assert scores.mean["normals_mean"] == pytest.approx(found.normals_mean)
    assert scores.units["accuracy_mean"] == "m"
    assert scores.better["normals_mean"] == "higher"


def test_strides_take_images_and_depth_alike(tmp_path):
    WRITERS["7scenes"](tmp_path, {"chess": room(3, **FIVE)})
    benchmark = replace(open_benchmark("surfaces-7scenes-dense"), stride=2)
    (sequence,) = Study(benchmark, root=tmp_path).sequences()
    assert sequence.name == "chess_seq-01"
    assert sequence.image_stamps == (0, 2, 4)
    (tmp_path / "chess" / "TestSplit.txt").write_text("every sequence")
    with pytest.raises(UserError, match="expected one sequence a line"):
        Study(benchmark, root=tmp_path).sequences()


def test_released_depth_is_taken_where_nobody_projected_it(tmp_path):
    WRITERS["7scenes"](tmp_path, {"chess": room(3, **FIVE)})
    for path in (tmp_path / "chess" / "seq-01").glob("*.depth.proj.png"):
        path.rename(path.with_name(path.name.replace(".depth.proj.", ".depth.")))
    (sequence,) = Study(replace(open_benchmark("surfaces-7scenes-dense"), stride=1), root=tmp_path).sequences()
    assert [path.name for path in sequence.depths][:1] == ["frame-000000.depth.png"]


def test_frames_without_a_pose_are_left_out_of_nrgbd(tmp_path):
    WRITERS["nrgbd"](tmp_path, {"kitchen": room(3, **FIVE)})
    path: Path = tmp_path / "kitchen" / "poses.txt"
    rows = path.read_text().splitlines()
    path.write_text("\n".join([*rows[:4], *["nan nan nan nan"] * 4, *rows[8:]]))
    made = Study(replace(open_benchmark("surfaces-nrgbd-sparse"), stride=1), root=tmp_path)
    (sequence,) = made.sequences()
    assert sequence.image_stamps == (0, 2, 3, 4)
    path.write_text("\n".join(rows[:16]))
    with pytest.raises(UserError, match="holds 4 poses, images go up to number 4"):
        made.sequences()
    path.write_text("\n".join(rows[:3]))
    with pytest.raises(UserError, match="expected a multiple of 4"):
        read_matrix_blocks(path)
    with pytest.raises(UserError, match="expected 4 rows"):
        read_matrix(path)


def test_millimetres_without_a_measurement_or_beyond_ten_metres_are_none(tmp_path):
    from PIL import Image

    Image.fromarray(np.array([[1500, 65535, 0, 10001]], np.uint16)).save(tmp_path / "d.png")
    assert read_millimetres(tmp_path / "d.png").tolist() == [[1.5, 0, 0, 0]]


@pytest.mark.parametrize("score", [score_points, score_surfaces])
def test_one_sequence_without_any_measured_depth_is_no_end_of_the_benchmark(study, score):
    plant(study, "exact", Planted())
    (sequence,) = study.sequences()
    prediction = Prediction.load(study.predictions("exact") / "scene_00.npz")
    alone = replace(sequence, depths=(), depth_stamps=())
    rules = replace(study.rules, protocol=with_options(STANDARD, unequal_lengths="ignore"))
    with pytest.raises(UnscorableError, match="no image has a measured depth"):
        score(alone, prediction, rules)


def test_pairs_in_reach_on_one_line_end_one_sequence_alone(study, monkeypatch):
    plant(study, "exact", Planted())
    (sequence,) = study.sequences()
    prediction = Prediction.load(study.predictions("exact") / "scene_00.npz")
    line = np.linspace(0, 1, 50)[:, None] * [[1.0, 2.0, 3.0]]
    monkeypatch.setattr(
        surfaces_scoring, "aligned_clouds", lambda pairs: (replace(pairs, predicted=line, true=line + 0.001), 1.0)
    )
    with pytest.raises(UnscorableError, match="on one line"):
        score_surfaces(sequence, prediction, study.rules)
