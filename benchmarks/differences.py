"""What some of the oddities on the book's page of differences cost, each measured alone on made-up data.

Run:     python benchmarks/differences.py
"""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from page4d import PAGE4D
from page4d.evaluate.alignment import irls_scale_fit
from page4d.evaluate.depth_metrics import DepthOptions, depth_errors
from page4d.evaluate.harness import Study
from page4d.evaluate.opening import open_benchmark
from page4d.evaluate.planted import Planted, plant
from page4d.evaluate.pose import pose_errors
from page4d.evaluate.protocol import STANDARD, with_options
from page4d.io.trajectories import Trajectory, read_tum, write_tum


def world_z(folder: Path) -> str:
    """E1: a perfect network on moving cameras."""
    moving = open_benchmark("pose-synthetic").settings
    benchmark = replace(open_benchmark("videodepth-synthetic"), settings=moving, left_out_by_public=())
    study = Study(benchmark, with_options(STANDARD, depth_source="world_z"), out=folder)
    plant(study, "perfect", Planted())
    found = study.score("perfect").mean["abs_rel"]
    own = replace(study, protocol=STANDARD).score("perfect").mean["abs_rel"]
    return f"E1   AbsRel of a perfect network: {found:.3f} in world z, {own:.3f} in each camera's own z"


def mixed_cameras() -> str:
    """E6: an estimate that drifts, with twenty true poses numbered by ten against thirty positions."""
    rng = np.random.default_rng(0)
    poses = np.tile(np.eye(4), (30, 1, 1))
    poses[:, :3, 3] = np.cumsum(rng.normal(0, 0.1, (30, 3)), 0)
    wrong = poses.copy()
    wrong[:, :3, 3] += np.cumsum(rng.normal(0, 0.02, (30, 3)), 0)
    stamps = np.arange(30.0)
    right = pose_errors(Trajectory(poses, stamps), Trajectory(wrong, stamps))
    few = pose_errors(Trajectory(poses[:20], np.arange(20) * 10.0), Trajectory(wrong, stamps), by_position=True)
    return f"E6   ATE {right.ate:.3f} over {right.pairs} right pairs, {few.ate:.3f} over {few.pairs} wrong ones"


def step_budget() -> str:
    """E15: depth that is off by a scale and a shift of four."""
    gt = np.random.default_rng(3).uniform(1, 9, (2, 12, 16))
    found = {name: depth_errors((gt + 4) / 3.7, gt, DepthOptions(name)) for name in ("lad2_video", "l1_scale_shift")}
    public, converged = (found[name].abs_rel for name in ("lad2_video", "l1_scale_shift"))
    return f"E15  AbsRel of depth that is exact up to scale and shift: {public:.3f} public, {converged:.3f} converged"


def nothing_in_front() -> str:
    """E16: one prediction in twenty at 0 or less, under both scripts' fits."""
    rng = np.random.default_rng(4)
    gt = rng.uniform(1, 9, (2, 12, 16))
    pred = np.where(rng.uniform(size=gt.shape) < 0.05, -rng.uniform(0, 1, gt.shape), gt / 3 + 0.5)
    names = ("lad2", "lad2_video")
    still, video = (depth_errors(pred, gt, DepthOptions(name)).abs_rel for name in names)
    return f"E16  AbsRel with a twentieth of the depths at 0 or less: {still:.3f} by one fit, {video:.3f} by the other"


def training_mode() -> str:
    """E14: a network without its mask, as the released scripts run it, in either mode."""
    model = PAGE4D.from_pretrained("tiny")
    images = torch.rand(1, 3, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found = [model.train(mode)(images)["pose_enc"] for mode in (True, False)]
    return f"E14  poses in training mode differ by {float((found[0] - found[1]).abs().max()):g}"


def quaternion_order(folder: Path) -> str:
    """E21: a perfect trajectory written with w first, read as TUM's format has it."""
    turns = Rotation.from_rotvec(np.cumsum(np.full((30, 3), (0.0, 0.02, 0.005)), 0))
    poses = np.tile(np.eye(4), (30, 1, 1))
    poses[:, :3, :3] = turns.as_matrix()
    poses[:, :3, 3] = np.cumsum(np.random.default_rng(0).normal(0, 0.1, (30, 3)), 0)
    truth = Trajectory(poses, np.arange(30.0))
    write_tum(folder / "pred_traj.txt", truth, legacy_quaternion_order=True)
    found = pose_errors(truth, read_tum(folder / "pred_traj.txt"))
    step = np.degrees(np.linalg.norm((0.0, 0.02, 0.005)))
    off = f"turns off by {found.rpe_rot_deg:.2f} of {step:.2f} degrees"
    return f"E21  perfect poses read by TUM's order: ATE {found.ate:.3f}, {off}"


def last_digits() -> str:
    """E24: pictures of depths in steps of a 256th, as KITTI stores them, the truth once in float64, once in float32."""
    turns, costs = [], []
    for seed in range(200):
        rng = np.random.default_rng(seed)
        gt = np.rint(rng.uniform(1, 10, (1, 20, 20)) * 256) / 256
        pred = np.float32(gt * rng.uniform(0.3, 0.7, gt.shape))
        found = [depth_errors(pred, truth, DepthOptions("scale")) for truth in (gt, np.float32(gt))]
        scales = [irls_scale_fit(pred.ravel(), truth.ravel()).scale for truth in (gt, np.float32(gt))]
        turns.append(abs(scales[1] / scales[0] - 1))
        costs.append(abs(found[1].abs_rel / found[0].abs_rel - 1))
    often = np.quantile(turns, 0.9)
    return (
        f"E24  float32 moves the scale by {often:.2%} in one of ten, {max(turns):.1%} at most; AbsRel {max(costs):.1%}"
    )


def two_steps(iterations: int = 4000) -> str:
    """T1: how far noise alone carries a weight, stepping twice per iteration with one gradient each."""
    ends = {}
    for steps in (1, 2):
        torch.manual_seed(0)
        weights = torch.nn.Parameter(torch.zeros(256))
        optimizer = torch.optim.AdamW([weights], lr=1e-3, weight_decay=0.0)
        for _ in range(iterations):
            weights.grad = torch.randn(256)
            for _ in range(steps):
                optimizer.step()
        ends[steps] = float(weights.detach().square().mean().sqrt())
    return f"T1   way of weights under noise, two steps over one: {ends[2] / ends[1]:.2f}"


def main() -> None:
    """Print a line for each."""
    with tempfile.TemporaryDirectory() as folder:
        print(world_z(Path(folder)))
        print(quaternion_order(Path(folder)))
    for line in (mixed_cameras(), step_budget(), nothing_in_front(), training_mode(), last_digits(), two_steps()):
        print(line)


if __name__ == "__main__":
    main()
