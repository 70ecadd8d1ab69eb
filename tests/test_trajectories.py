"""Trajectory files: the released arrays as referee, true TUM order, and damage named with its line."""

import json
from pathlib import Path

import numpy as np
import pytest

from page4d.io.depth_formats import write_cam
from page4d.io.trajectories import (
    Trajectory,
    quaternions,
    read_dycheck_camera,
    read_dycheck_cameras,
    read_matrices,
    read_matrix,
    read_matrix_blocks,
    read_sintel_cameras,
    read_trajectory,
    read_tum,
    rigid_inverse,
    write_tum,
)
from page4d.schema import UserError

INPUTS = dict(np.load(Path(__file__).parent / "golden" / "pose_eval_inputs.npz"))
GT = Trajectory(INPUTS["gt_c2w"], INPUTS["timestamps"])


def rows_wxyz(trajectory: Trajectory) -> np.ndarray:
    return np.concatenate((trajectory.positions, quaternions(trajectory.world_from_camera)[:, [3, 0, 1, 2]]), 1)


def same_rows(ours: np.ndarray, released: np.ndarray, centred: bool = False) -> None:
    """Equal up to the sign of the quaternion; some released loaders also centre the positions."""
    sign = np.sign((ours[:, 3:] * released[:, 3:]).sum(1, keepdims=True))
    np.testing.assert_allclose(ours[:, 3:] * sign, released[:, 3:], atol=1e-6)
    offset = ours[:, :3].mean(0) if centred else 0
    np.testing.assert_allclose(ours[:, :3] - offset, released[:, :3], atol=1e-5)


def test_tum_file_is_in_standard_order_and_exact(tmp_path):
    write_tum(tmp_path / "a.txt", GT)
    rows = np.loadtxt(tmp_path / "a.txt")
    same_rows(rows[:, [1, 2, 3, 7, 4, 5, 6]], INPUTS["gt_tum7_wxyz"])
    back = read_tum(tmp_path / "a.txt")
    np.testing.assert_allclose(back.world_from_camera, GT.world_from_camera, atol=1e-8)
    np.testing.assert_array_equal(back.stamps, GT.stamps)


def test_reading_a_standard_tum_file_gives_the_released_rows(tmp_path):
    np.savetxt(
        tmp_path / "gt.txt", INPUTS["tum_file_rows_standard"], fmt="%.12f", header="timestamp tx ty tz qx qy qz qw"
    )
    ours = read_tum(tmp_path / "gt.txt").select(slice(None, None, 3))
    same_rows(rows_wxyz(ours), INPUTS["tum_traj_stride3"])
    np.testing.assert_allclose(ours.stamps, INPUTS["tum_timestamps_stride3"])


def test_legacy_order_is_what_the_released_script_writes_and_tum_readers_misread(tmp_path):
    predicted = Trajectory(INPUTS["pred_c2w"], INPUTS["timestamps"]).select(slice(5))
    write_tum(tmp_path / "old.txt", predicted, legacy_quaternion_order=True)
    rows, released = np.loadtxt(tmp_path / "old.txt"), INPUTS["pred_traj_file_rows"]
    np.testing.assert_allclose(rows[:, :4], released[:, :4], atol=1e-6)
    np.testing.assert_allclose(np.abs((rows[:, 4:] * released[:, 4:]).sum(1)), 1, atol=1e-6)
    wrong = quaternions(read_tum(tmp_path / "old.txt").world_from_camera)[:, [3, 0, 1, 2]]
    released_wrong = INPUTS["pred_traj_read_back_as_standard_wxyz"]
    np.testing.assert_allclose(np.abs((wrong * released_wrong).sum(1)), 1, atol=1e-6)


def test_sintel_cameras_give_the_released_trajectory(tmp_path):
    K = np.array([[1120, 0, 511.5], [0, 1120, 217.5], [0, 0, 1]])
    for i, pose in enumerate(INPUTS["sintel_w2c"]):
        write_cam(tmp_path / f"frame_{i + 1:04d}.cam", K, pose)
    ours, intrinsics = read_sintel_cameras(tmp_path)
    same_rows(rows_wxyz(ours), INPUTS["sintel_traj"], centred=True)
    np.testing.assert_array_equal(ours.stamps, INPUTS["sintel_timestamps"][:, 0])
    np.testing.assert_array_equal(intrinsics, np.tile(K, (5, 1, 1)))


def dycheck(folder: Path) -> None:
    for number, rotation, centre in zip(
        (0, 2, 4, 6, 8), INPUTS["dyncheck_orientation"], INPUTS["dyncheck_position"], strict=True
    ):
        camera = {"orientation": rotation.tolist(), "position": centre.tolist(), "focal_length": 300.0}
        camera |= {"principal_point": [180.0, 240.0], "pixel_aspect_ratio": 1.1, "skew": 0.5}
        (folder / f"0_{number:05d}.json").write_text(json.dumps(camera))
    (folder / "1_00001.json").write_text("{}")  # a validation camera: not part of the trajectory


def test_dycheck_cameras_give_the_released_trajectory(tmp_path):
    dycheck(tmp_path)
    ours = read_dycheck_cameras(tmp_path)
    same_rows(rows_wxyz(ours), INPUTS["dyncheck_traj"], centred=True)
    np.testing.assert_array_equal(ours.stamps, INPUTS["dyncheck_timestamps"][:, 0])
    camera = read_dycheck_camera(tmp_path / "0_00004.json")
    np.testing.assert_array_equal(camera.world_from_camera, ours.world_from_camera[2])
    # The file counts from the corner of the first pixel, so (180, 240) is 179.5, 239.5 from its centre.
    np.testing.assert_allclose(camera.K, [[300, 0.5, 179.5], [0, 330, 239.5], [0, 0, 1]])
    assert (camera.size_wh, camera.distorted) == (None, False)


@pytest.mark.parametrize("columns", [12, 16])
def test_matrix_rows_give_the_released_trajectory(columns, tmp_path):
    np.savetxt(tmp_path / "pose_90.txt", GT.world_from_camera.reshape(-1, 16)[:, :columns])
    ours = read_matrices(tmp_path / "pose_90.txt")
    same_rows(rows_wxyz(ours), INPUTS["replica_traj"])
    np.testing.assert_array_equal(ours.stamps, np.arange(30))


def test_inverse_of_a_pose_is_exact():
    poses = np.linalg.inv(GT.world_from_camera)
    np.testing.assert_allclose(rigid_inverse(poses[:, :3]), GT.world_from_camera, atol=1e-12)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1 2 3\n", "line 1: 3 values, expected 8"),
        ("# head\n\n1 0 0 0 0 0 0 1\n2 0 0 x 0 0 0 1\n", "line 4: could not convert string to float: 'x'"),
        ("1 0 0 0 0 0 0 0\n", "pose 0 is 0 0 0 0 0 0 0, a zero quaternion"),
        ("1 0 0 nan 0 0 0 1\n", "line 1: 8 values, expected 8 finite ones"),
        ("# only a comment\n", "holds no pose"),
    ],
)
def test_damaged_tum_files_are_named_with_their_line(text, message, tmp_path):
    (tmp_path / "t.txt").write_text(text)
    with pytest.raises(UserError, match=message):
        read_tum(tmp_path / "t.txt")


@pytest.mark.parametrize("row", ["0 1e300 0 0 0 0 0 1", "1 0 0 0 0 1 0 -1e13 0 0 1 0"])
def test_positions_beyond_any_unit_are_refused(row, tmp_path):
    path = tmp_path / "far.txt"
    path.write_text(f"{row}\n")
    with pytest.raises(UserError, match=r"pose 0 stands at .* expected at most 1e\+12"):
        read_trajectory(path)


def test_missing_and_foreign_files_are_named(tmp_path):
    with pytest.raises(UserError, match="does not exist"):
        read_tum(tmp_path / "t.txt")
    with pytest.raises(UserError, match=r"holds no .cam"):
        read_sintel_cameras(tmp_path)
    with pytest.raises(UserError, match=r"holds no 0_\*.json"):
        read_dycheck_cameras(tmp_path)
    (tmp_path / "0_00001.json").write_text('{"orientation": []}')
    with pytest.raises(UserError, match="is not a DyCheck camera"):
        read_dycheck_cameras(tmp_path)
    with pytest.raises(ValueError, match="poses for"):
        Trajectory(np.zeros((2, 3, 4)), np.zeros(2))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda pose: pose.T, "its last row is not 0 0 0 1"),
        (lambda pose: pose * [[2], [2], [2], [1]], "its first three columns are no rotation"),
        (lambda pose: pose * [[1], [1], [-1], [1]], "its first three columns are no rotation"),
    ],
)
def test_matrices_that_are_not_rigid_are_refused_in_every_form(change, message, tmp_path):
    poses = np.stack([GT.world_from_camera[0], change(GT.world_from_camera[1])])
    np.savetxt(tmp_path / "rows.txt", poses.reshape(-1, 16))
    np.savetxt(tmp_path / "blocks.txt", poses.reshape(-1, 4))
    np.savetxt(tmp_path / "one.txt", poses[1])
    for read, name, number in (
        (read_matrices, "rows", 1),
        (read_trajectory, "rows", 1),
        (read_matrix_blocks, "blocks", 1),
        (read_matrix, "one", 0),
    ):
        with pytest.raises(UserError, match=f"{name}.txt: pose {number} is not rigid, {message}"):
            read(tmp_path / f"{name}.txt")


def test_a_frame_without_a_pose_is_not_taken_for_a_wrong_one(tmp_path):
    poses = GT.world_from_camera[:3].copy()
    poses[1] = -np.inf
    np.savetxt(tmp_path / "rows.txt", poses.reshape(-1, 16))
    read = read_matrices(tmp_path / "rows.txt", gaps=True).world_from_camera
    assert np.isnan(read[1]).all()
    np.testing.assert_allclose(read[[0, 2]], poses[[0, 2]])
