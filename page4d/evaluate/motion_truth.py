"""What truly moves in a picture: annotated, rendered, or where the true flow is not that of a still world."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from page4d.data.datasets.formats import read_mask, read_objects
from page4d.data.datasets.sintel import SintelFiles
from page4d.evaluate.sequence import MotionTruth
from page4d.geometry import compose, invert, pixel_grid, project, to_4x4, transform, unproject
from page4d.io.depth_formats import read_cam, read_dpt, read_flo
from page4d.io.names import frame_number
from page4d.schema import UserError

DAVIS_UNJUDGED = 255
FLOW_MISFIT_PX = 1.0
"""A pixel whose true flow is farther than this from that of a still world moves; rendering agrees within hundredths."""


def davis_motion(folder: Path, image: Path) -> MotionTruth:
    """All objects of a frame as one; DAVIS 2017 numbers them by palette, with 255 for what nobody judged."""
    objects, numbered = read_objects(folder / f"{image.stem}.png")
    if not numbered:
        return MotionTruth(objects > 0, np.ones(objects.shape, np.bool_))
    known = objects != DAVIS_UNJUDGED
    return MotionTruth((objects > 0) & known, known)


def exact_motion(folder: Path, image: Path) -> MotionTruth:
    """A rendered mask, white where something moves."""
    moving = read_mask(folder / f"{image.stem}.png")
    return MotionTruth(moving, np.ones(moving.shape, np.bool_))


def sintel_motion(files: SintelFiles, shot: str, image: Path) -> MotionTruth | None:
    """What Sintel's flow, depth and cameras say together; None for a shot's last frame, which has no flow."""
    flows, depths, cameras = (files.of(shot, what) for what in ("flow", "depth", "camdata_left"))
    number = frame_number(image)
    if number not in flows or number + 1 not in cameras:
        return None
    if number not in depths or number not in cameras:
        raise UserError(f"{shot}, frame {number}: flow without depth or camera; extract the depth archive completely")
    K, pose = read_cam(cameras[number])
    next_K, next_pose = read_cam(cameras[number + 1])
    first, second = (K, pose), (next_K, next_pose)
    depth, flow = read_dpt(depths[number]), read_flo(flows[number])
    if depth.shape != flow.shape[:2]:
        raise UserError(f"{flows[number]} has flow of {flow.shape[:2]} pixels, its depth map has {depth.shape}")
    return moving_by_flow(depth, flow, first, second)


def moving_by_flow(
    depth: NDArray[np.float32],
    flow: NDArray[np.float32],
    first: tuple[NDArray[np.float64], NDArray[np.float64]],
    second: tuple[NDArray[np.float64], NDArray[np.float64]],
    misfit_px: float = FLOW_MISFIT_PX,
) -> MotionTruth:
    """Pixels whose flow is not that of a still world.

    Shapes:  depth (H, W), flow (H, W, 2) to the second frame; a camera is K (3, 3) and cam_from_world (3 or 4, 4).
    Note:    what moves along its own epipolar line as a still point at its depth would is not seen, and nothing is
             known where depth is 0, the flow is not finite or the still point would lie behind the second camera.
    """
    seen = torch.from_numpy(np.float64(depth))
    K, pose, next_K, next_pose = (torch.from_numpy(np.float64(matrix)) for matrix in (*first, *second))
    second_from_first = compose(next_pose[:3], invert(pose[:3]))
    height, width = seen.shape
    points = transform(to_4x4(second_from_first), unproject(seen, K).reshape(-1, 3))
    landed, z = project(points, next_K)
    still_flow = landed.reshape(height, width, 2) - pixel_grid(height, width, seen)
    misfit: Tensor = (torch.from_numpy(np.float64(flow)) - still_flow).norm(dim=-1)
    known = (seen > 0) & (z.reshape(height, width) > 0) & misfit.isfinite()
    moving = known & (misfit > misfit_px)
    return MotionTruth(moving.numpy(), known.numpy())
