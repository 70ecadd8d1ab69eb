"""Trajectory errors: the released numbers, plain numpy as referee, evo's shell command as reader of our files."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from page4d.evaluate.pose import (
    plot_axes,
    plot_trajectories,
    pose_errors,
    write_pose_files,
    write_pose_report,
)
from page4d.io.trajectories import Trajectory, write_tum
from page4d.schema import Prediction, UserError

GOLDEN = Path(__file__).parent / "golden"
NUMBERS = json.loads((GOLDEN / "pose_eval.json").read_text())
INPUTS = dict(np.load(GOLDEN / "pose_eval_inputs.npz"))
STAMPS = INPUTS["timestamps"]
GT = Trajectory(INPUTS["gt_c2w"], STAMPS)
PRED = Trajectory(INPUTS["pred_c2w"], STAMPS)


def test_rmse_and_every_pair_equal_the_released_numbers():
    errors = pose_errors(GT, PRED, by_position=True)
    assert errors.ate == pytest.approx(NUMBERS["ATE_rmse"], rel=1e-8)
    assert errors.rpe_trans == pytest.approx(NUMBERS["RPE_trans_rmse"], rel=1e-8)
    assert errors.rpe_rot_deg == pytest.approx(NUMBERS["RPE_rot_deg_rmse"], rel=1e-8)
    details = NUMBERS["details"]
    np.testing.assert_allclose(errors.per_pose, details["ape_trans"]["errors"], rtol=1e-8)
    np.testing.assert_allclose(errors.per_step_trans, details["rpe_trans"]["errors"], rtol=1e-8)
    np.testing.assert_allclose(errors.per_step_rot_deg, details["rpe_rot_deg"]["errors"], rtol=1e-8)


def test_alignment_is_the_released_similarity():
    fit = NUMBERS["umeyama_est_to_ref"]
    moved = fit["s"] * PRED.positions @ np.array(fit["R"]).T + fit["t"]
    np.testing.assert_allclose(pose_errors(GT, PRED).aligned.positions, moved, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", ["unequal_len_gt_every_3rd", "unequal_len_gt_numbered_by_10"])
def test_unequal_lengths_pair_by_stamp_as_the_released_script_does(case):
    if case.endswith("3rd"):
        gt = GT.select(slice(None, None, 3))
    else:
        gt = Trajectory(GT.world_from_camera[:20], np.arange(20) * 10.0)
    errors = pose_errors(gt, PRED, by_position=True)
    assert (errors.ate, errors.rpe_trans, errors.rpe_rot_deg) == pytest.approx(NUMBERS[case], rel=1e-8)
    if case.endswith("10"):
        assert errors.pairs == 3  # E6: three wrong pairs, and an ATE that looks good


def test_report_file_has_the_released_titles_and_values(tmp_path):
    write_pose_report(tmp_path / "out" / "syn_eval_metric.txt", pose_errors(GT, PRED, name="syn"))
    text = (tmp_path / "out" / "syn_eval_metric.txt").read_text()
    for line in NUMBERS["file_title_lines"]:
        assert line in text.splitlines()
    rmse = [float(v) for v in re.findall(r"rmse\s+([\d.]+)", text)]
    ate, trans, rot = NUMBERS["extract_metrics_from_file"]
    assert rmse == [ate, rot, trans]


def test_a_similarity_is_no_error_and_a_planted_turn_is_measured():
    rotation = Rotation.from_euler("xyz", [20, -40, 70], degrees=True).as_matrix()
    moved = GT.world_from_camera.copy()
    moved[:, :3, :3] = rotation @ moved[:, :3, :3]
    moved[:, :3, 3] = 3.5 * GT.positions @ rotation.T + [5, -2, 1]
    errors = pose_errors(GT, Trajectory(moved, STAMPS))
    assert (errors.ate, errors.rpe_trans) == pytest.approx((0, 0), abs=1e-9)
    assert errors.rpe_rot_deg == pytest.approx(0, abs=1e-5)
    twisted = GT.world_from_camera.copy()
    turn = Rotation.from_rotvec([0, 0, np.radians(3)]).as_matrix()
    twisted[1::2, :3, :3] = twisted[1::2, :3, :3] @ turn  # every step is off by 3 degrees, positions by nothing
    errors = pose_errors(GT, Trajectory(twisted, STAMPS))
    assert errors.ate == pytest.approx(0, abs=1e-9)
    assert errors.rpe_rot_deg == pytest.approx(3, abs=1e-6)


def test_degenerate_input_is_named():
    with pytest.raises(UserError, match="no pose of the 30 predicted"):
        pose_errors(GT, Trajectory(GT.world_from_camera, STAMPS + 500))
    with pytest.raises(UserError, match="only 2 of 2 predicted"):
        pose_errors(GT, PRED.select([0, 1]))
    still = Trajectory(np.tile(np.eye(4), (30, 1, 1)), STAMPS)
    with pytest.raises(UserError, match=r"seq_7: the trajectory cannot be aligned"):
        pose_errors(still, PRED, name="seq_7")


def prediction_of(trajectory):
    s = len(trajectory)
    K = np.tile(np.array([[300, 0, 4], [0, 250, 3], [0, 0, 1]], np.float32), (s, 1, 1))
    zeros = np.zeros((s, 6, 8), np.float32)
    return Prediction(
        cam_from_world=np.linalg.inv(trajectory.world_from_camera)[:, :3].astype(np.float32),
        K=K,
        depth=zeros,
        depth_conf=zeros,
        points=None,
        points_conf=None,
        mask=None,
        images=np.zeros((s, 6, 8, 3), np.uint8),
        frame_names=tuple(f"{i}.png" for i in range(s)),
        timestamps_s=trajectory.stamps,
        original_hw=np.tile([6, 8], (s, 1)),
        box_in_original=np.tile([0.0, 0, 8, 6], (s, 1)),
    )


def test_files_keep_both_focal_lengths_and_the_stamps_of_the_truth(tmp_path):
    stamps = 1_305_031_102.175304 + STAMPS / 30
    write_pose_files(tmp_path, prediction_of(PRED), Trajectory(PRED.world_from_camera, stamps))
    assert np.loadtxt(tmp_path / "pred_focal.txt")[3] == pytest.approx((300, 250))
    assert np.loadtxt(tmp_path / "pred_intrinsics.txt")[3] == pytest.approx([300, 0, 4, 0, 250, 3, 0, 0, 1])
    first = (tmp_path / "pred_traj.txt").read_text().splitlines()[0]
    assert first.startswith("1305031102.175304 ")


def test_evo_from_a_shell_gives_the_same_number(tmp_path):
    write_tum(tmp_path / "gt.txt", GT)
    write_tum(tmp_path / "pred_traj.txt", PRED)
    for command, option, wanted in (
        ("evo_ape", [], "ate"),
        ("evo_rpe", ["-r", "angle_deg", "--all_pairs"], "rpe_rot_deg"),
    ):
        words = [str(Path(sys.executable).parent / command), "tum", "gt.txt", "pred_traj.txt", "-as", *option]
        done = subprocess.run(
            words, cwd=tmp_path, capture_output=True, text=True, env={"HOME": str(tmp_path)}, check=True
        )
        value = float(re.search(r"rmse\s+([\d.]+)", done.stdout).group(1))
        assert value == pytest.approx(getattr(pose_errors(GT, PRED), wanted), abs=1e-6)


def test_plot_uses_the_two_axes_of_largest_variance(tmp_path):
    poses = np.tile(np.eye(4), (5, 1, 1))
    poses[:, 1, 3], poses[:, 2, 3] = np.arange(5), [0, 1, 0, 1, 0]
    gt = Trajectory(poses, np.arange(5.0))
    assert plot_axes(gt) == (1, 2)
    plot_trajectories(tmp_path / "plots" / "a.png", gt, pose_errors(gt, gt), "a")
    assert (tmp_path / "plots" / "a.png").read_bytes().startswith(b"\x89PNG")
