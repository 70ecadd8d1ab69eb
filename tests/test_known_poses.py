"""Known poses: the similarity in closed form, wrong poses among them, straight paths, and what does not pair up."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from little_scene import little_prediction
from scipy.spatial.transform import Rotation

from page4d.io.trajectories import Trajectory, read_trajectory, rigid_inverse, write_tum
from page4d.known_poses import robust_similarity, with_poses
from page4d.result.cloud import points_in_world, unit_of
from page4d.robust import robust_weights, weighted_median
from page4d.schema import UserError

SCALE, SHIFT = 2.5, np.array([3.0, -1.0, 0.5])
TURN = Rotation.from_euler("xyz", [20, -35, 50], degrees=True).as_matrix()


def placed(world_from_cam: np.ndarray) -> np.ndarray:
    """The same cameras in another world: x -> SCALE TURN x + SHIFT."""
    poses = np.tile(np.eye(4), (len(world_from_cam), 1, 1))
    poses[:, :3, :3] = TURN @ world_from_cam[:, :3, :3]
    poses[:, :3, 3] = SCALE * world_from_cam[:, :3, 3] @ TURN.T + SHIFT
    return poses


def test_the_prediction_comes_into_the_world_of_the_poses() -> None:
    prediction = little_prediction()
    given = placed(rigid_inverse(prediction.cam_from_world))
    moved, fit = with_poses(prediction, Trajectory(given, np.full(len(given), np.nan)))
    assert float(fit.similarity.scale) == pytest.approx(SCALE, rel=1e-5)
    assert fit.position < 1e-5
    assert fit.turn_deg < 0.1
    np.testing.assert_allclose(rigid_inverse(moved.cam_from_world), given, atol=1e-5)
    np.testing.assert_allclose(moved.depth, SCALE * prediction.depth, rtol=1e-5)
    pixels = np.array([[3, 4], [20, 30], [40, 10]])
    before, after = points_in_world(prediction, 2, pixels), points_in_world(moved, 2, pixels)
    np.testing.assert_allclose(after, SCALE * before @ TURN.T + SHIFT, atol=1e-4)
    assert moved.meta["poses"]["frames"] == len(given)
    assert "given poses" in unit_of(moved)


def many_cameras(count: int, straight: bool = False) -> np.ndarray:
    generator = np.random.default_rng(3)
    poses = np.tile(np.eye(4), (count, 1, 1))
    poses[:, :3, :3] = Rotation.from_rotvec(generator.normal(0, 0.4, (count, 3))).as_matrix()
    time = np.linspace(0, 4, count)
    wave = np.stack((time, np.sin(2 * time), 0.3 * np.cos(time)), 1)
    poses[:, :3, 3] = time[:, None] * [1.0, 0.2, -0.1] if straight else wave
    return poses


@pytest.mark.parametrize("straight", [False, True])
def test_wrong_poses_among_them_do_not_move_it(straight: bool) -> None:
    ours = many_cameras(40, straight)
    theirs = placed(ours)
    theirs[::4, :3, 3] += 30
    theirs[::5, :3, :3] = np.eye(3)
    fit = robust_similarity(torch.from_numpy(ours[:, :3]), torch.from_numpy(theirs[:, :3]))
    assert float(fit.scale) == pytest.approx(SCALE, rel=1e-3)
    np.testing.assert_allclose(fit.rotation, TURN, atol=2e-3)
    np.testing.assert_allclose(fit.translation, SHIFT, atol=2e-2)


def test_noise_is_stated() -> None:
    prediction = little_prediction(frames=8)
    given = placed(rigid_inverse(prediction.cam_from_world))
    given[:, :3, 3] += np.random.default_rng(0).normal(0, 0.05, (8, 3))
    _, fit = with_poses(prediction, Trajectory(given, np.full(8, np.nan)))
    assert 0.01 < fit.position < 0.15
    assert "within" in fit.words()


def test_poses_are_paired_by_time(tmp_path: Path) -> None:
    prediction = little_prediction()
    times = 100 + 0.1 * np.arange(len(prediction))
    prediction = replace(prediction, timestamps_s=times)
    given = placed(rigid_inverse(prediction.cam_from_world))
    write_tum(tmp_path / "poses.txt", Trajectory(given[::-1].copy(), times[::-1] + 0.004))
    _, fit = with_poses(prediction, read_trajectory(tmp_path / "poses.txt"))
    assert float(fit.similarity.scale) == pytest.approx(SCALE, rel=1e-4)
    with pytest.raises(UserError, match="bring them to one clock"):
        with_poses(prediction, Trajectory(given, times + 50))


def test_what_gives_no_scale() -> None:
    prediction = little_prediction()
    given = placed(rigid_inverse(prediction.cam_from_world))
    given[:, :3, 3] = SHIFT
    with pytest.raises(UserError, match="stands still"):
        with_poses(prediction, Trajectory(given, np.full(len(given), np.nan)))
    far = placed(rigid_inverse(prediction.cam_from_world))
    far[:, :3, 3] += [448_000, 5_411_000, 0]
    with pytest.raises(UserError, match="take one position off all of them"):
        with_poses(prediction, Trajectory(far, np.full(len(far), np.nan)))
    with pytest.raises(UserError, match="the trajectory has 3 poses for 4 frames"):
        with_poses(prediction, Trajectory(given[:3], np.full(3, np.nan)))


def test_rows_of_twelve_and_eight_numbers(tmp_path: Path) -> None:
    poses = many_cameras(3)
    np.savetxt(tmp_path / "kitti.txt", poses[:, :3].reshape(3, 12))
    read = read_trajectory(tmp_path / "kitti.txt")
    np.testing.assert_allclose(read.world_from_camera, poses, atol=1e-12)
    assert np.isnan(read.stamps).all()
    (tmp_path / "bad.txt").write_text("1 2 3\n")
    with pytest.raises(UserError, match="3 values, expected 8 or 12 or 16"):
        read_trajectory(tmp_path / "bad.txt")


def test_a_distance_three_times_the_spread_has_a_hundredth_of_the_weight() -> None:
    weights = robust_weights(torch.tensor([0.0, 2.0, 6.0]), torch.tensor(2.0))
    assert weights.tolist() == pytest.approx([1, 1 / 4, 1 / 100])


@pytest.mark.parametrize(("weights", "middle"), [([1, 1, 1, 1], 2), ([1, 1, 1, 5], 4), ([4, 1, 1, 1], 1)])
def test_the_weighted_median_is_where_half_of_the_weight_is_reached(weights: list[float], middle: float) -> None:
    values = torch.tensor([3.0, 1.0, 4.0, 2.0])
    in_their_order = torch.tensor([float(weights[int(v) - 1]) for v in values])
    assert weighted_median(values, in_their_order) == middle
