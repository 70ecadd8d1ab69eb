"""Metres from a distance, from sensor frames and from a path, each against a known factor."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from little_scene import little_prediction
from scipy.spatial.transform import Rotation

from page4d.io.trajectories import Trajectory, rigid_inverse
from page4d.known_poses import with_poses
from page4d.result.cloud import unit_of
from page4d.result.metric_scale import (
    apply_scale,
    scale_from_depth,
    scale_from_distance,
    scale_from_trajectory,
)
from page4d.result.original import depth_in_original
from page4d.schema import Prediction, UserError

FACTOR = 2.75


def cropped(prediction: Prediction) -> Prediction:
    s, h, w = prediction.depth.shape
    box = np.tile([[10.0, 4.0, 10 + 2.0 * w, 4 + 1.5 * h]], (s, 1))
    return replace(prediction, box_in_original=box, original_hw=np.tile([[70, 120]], (s, 1)))


def test_distance_between_two_pixels_of_the_file() -> None:
    prediction = cropped(little_prediction())
    assert prediction.points is not None
    # Input pixels (7, 30) and (40, 5) lie at these pixels of the file.
    a, b = ((x + 0.5) * 2 - 0.5 + 10 for x in (7, 40)), ((y + 0.5) * 1.5 - 0.5 + 4 for y in (30, 5))
    (xa, xb), (ya, yb) = a, b
    metres = FACTOR * float(np.linalg.norm(prediction.points[2, 30, 7] - prediction.points[2, 5, 40]))
    assert scale_from_distance(prediction, 2, (xa, ya), (xb, yb), metres).factor == pytest.approx(FACTOR, rel=1e-5)
    with pytest.raises(UserError, match="cropped away"):
        scale_from_distance(prediction, 2, (1, 1), (xb, yb), 1.0)
    with pytest.raises(UserError, match="same point"):
        scale_from_distance(prediction, 2, (xa, ya), (xa, ya), 1.0)


def test_sensor_depth_with_outliers() -> None:
    prediction = cropped(little_prediction())
    sensor = depth_in_original(prediction, 1) * FACTOR
    sensor[:20] = 0
    sensor[20:26] = 60.0
    scale = scale_from_depth(prediction, {1: sensor})
    assert scale.factor == pytest.approx(FACTOR, rel=1e-4)
    with pytest.raises(UserError, match="register it"):
        scale_from_depth(prediction, {1: sensor[:, :50]})
    with pytest.raises(UserError, match="at least 100"):
        scale_from_depth(prediction, {1: np.zeros_like(sensor)})


def path(prediction: Prediction, stamps: np.ndarray | None = None) -> Trajectory:
    poses = rigid_inverse(prediction.cam_from_world)
    turn = Rotation.from_euler("xyz", [0.3, -1.1, 2.0]).as_matrix()
    poses[:, :3, 3] = FACTOR * poses[:, :3, 3] @ turn.T + [5.0, -2.0, 1.0]
    poses[:, :3, :3] = turn @ poses[:, :3, :3]
    return Trajectory(poses, prediction.timestamps_s if stamps is None else stamps)


def test_trajectory_by_similarity() -> None:
    prediction = little_prediction(6)
    scale = scale_from_trajectory(prediction, path(prediction))
    assert scale.factor == pytest.approx(FACTOR, rel=1e-4)
    assert scale.similarity is not None
    np.testing.assert_allclose(scale.similarity["translation"], [5, -2, 1], atol=1e-3)
    assert scale.spread < 1e-3


def test_trajectory_by_time() -> None:
    prediction = little_prediction(6)
    whole = path(prediction, prediction.timestamps_s + 0.004)
    doubled = Trajectory(
        np.concatenate((whole.world_from_camera, whole.world_from_camera * 3)),
        np.concatenate((whole.stamps, whole.stamps + 100)),
    )
    assert scale_from_trajectory(prediction, doubled).factor == pytest.approx(FACTOR, rel=1e-4)
    untimed = replace(prediction, timestamps_s=np.full(6, np.nan))
    with pytest.raises(UserError, match="without times"):
        scale_from_trajectory(untimed, doubled)


def test_equal_counts_are_paired_by_time_too() -> None:
    prediction = little_prediction(6)
    known = path(prediction)
    assert scale_from_trajectory(prediction, known.select(slice(None, None, -1))).factor == pytest.approx(FACTOR, 1e-4)
    with pytest.raises(UserError, match=r"only 0 frames have a pose .* poses from 100 to 100.5 s: bring them to one"):
        scale_from_trajectory(prediction, Trajectory(known.world_from_camera, known.stamps + 100))
    untimed = replace(prediction, timestamps_s=np.full(6, np.nan))
    assert scale_from_trajectory(untimed, Trajectory(known.world_from_camera, known.stamps + 100)).factor == (
        pytest.approx(FACTOR, 1e-4)
    )


def test_straight_path_still_gives_a_scale() -> None:
    prediction = little_prediction(5)
    pose = np.tile(np.eye(3, 4, dtype=np.float32), (5, 1, 1))
    pose[:, 0, 3] = -np.arange(5) * 0.3
    straight = replace(prediction, cam_from_world=pose)
    assert scale_from_trajectory(straight, path(straight)).factor == pytest.approx(FACTOR, rel=1e-5)
    pose[:, 0, 3] = 0
    with pytest.raises(UserError, match="stands still"):
        scale_from_trajectory(replace(prediction, cam_from_world=pose), path(prediction))


def test_scale_is_stored_and_everything_grows() -> None:
    prediction = replace(little_prediction(), meta={})
    assert unit_of(prediction) == "scene units"
    scaled = apply_scale(prediction, scale_from_trajectory(prediction, path(prediction)))
    assert unit_of(scaled) == "m"
    assert scaled.meta["scale"]["factor"] == pytest.approx(FACTOR, rel=1e-4)
    np.testing.assert_allclose(scaled.depth, prediction.depth * FACTOR, rtol=1e-4)
    assert scaled.points is not None
    assert prediction.points is not None
    np.testing.assert_allclose(scaled.points, prediction.points * FACTOR, rtol=1e-4)
    centre = rigid_inverse(scaled.cam_from_world)[3, :3, 3]
    np.testing.assert_allclose(centre, rigid_inverse(prediction.cam_from_world)[3, :3, 3] * FACTOR, rtol=1e-3)
    twice = apply_scale(scaled, scale_from_distance(scaled, 0, (3, 3), (40, 30), 1.0))
    grown = float(np.median(twice.depth / prediction.depth))
    assert twice.meta["scale"]["factor"] == pytest.approx(grown, rel=1e-4)


@pytest.mark.parametrize("size", [1e-3, 1.0, 1e3])
def test_rounding_of_a_still_camera_is_no_path(size: float) -> None:
    prediction = little_prediction(6)
    known = path(prediction)
    poses = np.tile(np.eye(3, 4, dtype=np.float32), (6, 1, 1))
    poses[:, :, 3] = np.random.default_rng(0).normal(0, 1e-7 * size, (6, 3))
    still = replace(prediction, cam_from_world=poses, depth=prediction.depth * np.float32(size), points=None)
    for scaled in (scale_from_trajectory, with_poses):
        with pytest.raises(UserError, match="stands still"):
            scaled(still, known)
