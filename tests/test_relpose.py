"""Sets of images: Scores against a referee written from the definition, the released script's numbers, sampling."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from little_benchmarks import small
from pair_reference import by_definition
from writers.benchmarks import WRITERS
from writers.scene import room

from page4d.evaluate import open_benchmark
from page4d.evaluate.harness import Study
from page4d.evaluate.layouts import drawn_frames
from page4d.evaluate.planted import Planted, plant
from page4d.evaluate.pose_auc import pair_errors, relative_poses
from page4d.evaluate.protocol import PUBLIC, STANDARD, with_options
from page4d.io.trajectories import read_realestate, rigid_inverse
from page4d.schema import Prediction, UserError

MOVING = {"frames": 4, "camera_speed": (0.5, 0.5), "tripod_chance": 0.0}


@pytest.fixture
def study(tmp_path) -> Study:
    return Study(small("relpose", sequences=2), out=tmp_path)


def planted(made: Study) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Predicted and true cameras of every sequence, read from the files themselves."""
    folder = plant(made, "noisy", Planted(rotation_deg=1.0, translation=0.01))
    both = []
    for sequence in made.sequences():
        ours = Prediction.load(folder / f"{sequence.name}.npz").cam_from_world.astype(np.float64)
        true = rigid_inverse(sequence.read_trajectory().world_from_camera)[:, :3]
        both.append((torch.from_numpy(ours), torch.from_numpy(true)))
    return both


def test_scores_equal_the_definition(study):
    both = planted(study)
    scores = study.score("noisy")
    for limit in (3, 5, 15, 30):
        expected = np.mean([by_definition(ours, true, limit) for ours, true in both], axis=0)
        found = [scores.mean[f"{name}_{limit}"] for name in ("rra", "rta", "auc")]
        assert found == pytest.approx(expected.tolist(), abs=1e-4)
    assert 0 < scores.mean["auc_30"] < 1


def released(ours: torch.Tensor, true: torch.Tensor, limit: int) -> float:
    """What VGGT's script sums: a histogram of whole degrees, added up and averaged; directions without sign."""
    errors = pair_errors(relative_poses(ours), relative_poses(true), 0.0, either_way=True)
    worse = torch.maximum(errors.rotation_deg, errors.direction_deg).numpy()
    counts = np.array([((worse >= low) & (worse < low + 1)).sum() for low in range(limit)])
    return float(np.mean(np.cumsum(counts / len(worse))))


def test_public_is_the_released_sum_and_is_never_lower(study):
    both = planted(study)
    choices = {name: getattr(PUBLIC, name) for name in ("pair_area", "direction_sign", "set_average")}
    standard = study.score("noisy")
    public = replace(study, protocol=with_options(STANDARD, **choices)).score("noisy")
    for limit in (3, 5, 15, 30):
        expected = np.mean([released(ours, true, limit) for ours, true in both])
        assert public.mean[f"auc_{limit}"] == pytest.approx(expected)
        assert public.mean[f"auc_{limit}"] >= standard.mean[f"auc_{limit}"]


def test_a_planted_turn_of_every_second_camera_has_a_closed_form(tmp_path):
    made = Study(small("relpose", sequences=1), out=tmp_path)
    folder = plant(made, "turned", Planted())
    path = folder / "scene_00.npz"
    stored = Prediction.load(path)
    angle = np.radians(4.0)
    turn = np.array([[1, 0, 0], [0, np.cos(angle), -np.sin(angle)], [0, np.sin(angle), np.cos(angle)]])
    poses = stored.cam_from_world.astype(np.float64)
    poses[1::2] = turn @ poses[1::2]
    replace(stored, cam_from_world=poses.astype(np.float32)).save(path)
    scores = made.score("turned")
    # 4 frames: 4 of 6 pairs are one turned and one straight camera, in the others both or none are.
    assert scores.mean["rra_3"] == pytest.approx(2 / 6)
    assert scores.mean["rra_5"] == 1
    assert scores.sequences[0].notes["rotation_deg"] == pytest.approx(4 * 4 / 6, abs=0.05)  # poses are float32


def test_a_set_whose_cameras_stand_at_one_place_has_no_direction(study):
    plant(study, "exact", Planted())
    sequence = study.sequences()[0]
    here = sequence.read_trajectory()
    here.world_from_camera[:, :3, 3] = 1.0
    prediction = Prediction.load(study.predictions("exact") / "scene_00.npz")
    from page4d.evaluate.rules import UnscorableError

    with pytest.raises(UnscorableError, match="stand at one place"):
        study.task.score(replace(sequence, read_trajectory=lambda: here), prediction, study.rules)
    with pytest.raises(UserError, match="no ground-truth cameras"):
        study.task.score(replace(sequence, read_trajectory=None), prediction, study.rules)


def test_frames_are_drawn_by_name_and_seed_and_stay_in_order(tmp_path):
    first = drawn_frames("apple_1", 60, 10, 0)
    assert (np.diff(first) > 0).all()
    assert len(first) == 10
    assert (first == drawn_frames("apple_1", 60, 10, 0)).all()
    assert (first != drawn_frames("apple_2", 60, 10, 0)).any()
    assert (first != drawn_frames("apple_1", 60, 10, 1)).any()
    WRITERS["realestate10k"](tmp_path, {"one": room(3, **MOVING)})
    benchmark = replace(open_benchmark("relpose-realestate10k"), frames=3)
    (sequence,) = Study(benchmark, root=tmp_path).sequences()
    assert len(sequence.images) == len(sequence.image_stamps) == 3
    assert len(sequence.read_trajectory()) == 4


def test_categories_count_the_same_only_in_public(tmp_path):
    clips = {name: room(seed, **MOVING) for name, seed in (("one", 3), ("two", 4), ("three", 5))}
    WRITERS["co3d"](tmp_path, clips)
    made = Study(replace(open_benchmark("relpose-co3d"), min_frames=4), root=tmp_path, out=tmp_path / "out")
    (tmp_path / "toy").rename(tmp_path / "car")
    for path in (tmp_path / "car").rglob("*.j*gz"):
        import gzip

        path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"toy/", b"car/")))
    WRITERS["co3d"](tmp_path, {"four": room(6, **MOVING)})
    sequences = made.sequences()
    assert [s.name for s in sequences] == ["car_one", "car_three", "car_two", "toy_four"]
    assert [s.weight_in_category for s in sequences] == [1 / 3, 1 / 3, 1 / 3, 1]
    assert with_options(STANDARD, set_average="categories").set_average == PUBLIC.set_average


def test_damaged_camera_files_of_realestate10k_are_told(tmp_path):
    WRITERS["realestate10k"](tmp_path, {"one": room(3, **MOVING)})
    path: Path = tmp_path / "test" / "one.txt"
    text = path.read_text()
    path.write_text(text.rsplit(" ", 1)[0])
    with pytest.raises(UserError, match="line 5: 18 values, expected 19"):
        read_realestate(path)
    image = next((tmp_path / "frames" / "one").iterdir())
    image.rename(image.with_name("first.png"))
    path.write_text(text)
    with pytest.raises(UserError, match="not named by its time stamp"):
        Study(open_benchmark("relpose-realestate10k"), root=tmp_path).sequences()
