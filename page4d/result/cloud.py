"""Coloured points out of a Prediction: the one place that decides which pixels become points.

Viewer, figures and every export take their points from here, so that they show the same scene.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from page4d.geometry import invert, transform, unproject_pixels
from page4d.given import as_mask
from page4d.io.trajectories import MAX_POSITION, no_rotations
from page4d.result.original import check_camera_matrices
from page4d.result.pixel_map import PixelMap
from page4d.schema import Prediction, UserError


@dataclass(frozen=True)
class Cloud:
    """N coloured points in the world of a Prediction.

    Shapes:  xyz (N, 3), rgb uint8 (N, 3), confidence (N,), frame (N,), pixel (N, 2) as integer (x, y), moving (N,).
    Units:   xyz in the Prediction's unit; frame is the index of the view that saw the point.
    Frame:   OpenCV, the world of the Prediction (close to its first camera).
    """

    xyz: NDArray[np.float32]
    rgb: NDArray[np.uint8]
    confidence: NDArray[np.float32]
    frame: NDArray[np.int32]
    pixel: NDArray[np.int32]
    moving: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.xyz)

    def __getitem__(self, index: NDArray[np.generic]) -> Cloud:
        """The points that a boolean mask or an index array picks."""
        return Cloud(*(getattr(self, f.name)[index] for f in fields(self)))


@dataclass(frozen=True)
class CloudOptions:
    """Which pixels become points: `drop` is the share of least confident pixels left out, over all frames."""

    source: str = "depth"
    drop: float = 0.1
    max_points: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if self.source not in ("depth", "points"):
            raise UserError(f"points come from 'depth' or from the 'points' head, got {self.source!r}")
        if not 0 <= self.drop < 1:
            raise UserError(f"the share of least confident pixels to drop is {self.drop}; give a number in [0, 1)")
        if self.max_points is not None and self.max_points < 1:
            raise UserError(f"at most {self.max_points} points leave nothing to show; give 1 or more")


def unit_of(prediction: Prediction) -> str:
    """The unit of depth and translation: "m" after a metric scale was fitted, else "scene units"."""
    return str(prediction.meta.get("scale", {}).get("unit", "scene units"))


def world_from_cam(prediction: Prediction) -> NDArray[np.float64]:
    """Camera-to-world poses (S, 3, 4); the last column is each camera's centre."""
    return invert(torch.from_numpy(prediction.cam_from_world).double()).numpy()


def shown_in_original(prediction: Prediction) -> NDArray[np.bool_]:
    """Pixels (S, H, W) whose centre shows the user's image, not padding that the loader added."""
    x, y = PixelMap.of(prediction).grid_in_original(prediction.size_hw)
    height, width = prediction.original_hw[:, :1], prediction.original_hw[:, 1:]
    columns = (x >= -0.5) & (x <= width - 0.5)
    rows = (y >= -0.5) & (y <= height - 0.5)
    return np.asarray(rows[:, :, None] & columns[:, None, :])


def usable_pixels(prediction: Prediction) -> NDArray[np.bool_]:
    """Pixels (S, H, W) with a usable depth: positive, and not padding.

    Raises:  UserError if a depth, pose or intrinsic is not finite (zero is how a missing depth is written) or stands
             for no camera, or if no pixel is left.
    """
    for name in ("depth", "cam_from_world", "K", *(() if prediction.mask is None else ("mask",))):
        _check_finite(prediction, name)
    _check_possible(prediction)
    valid = (prediction.depth > 0) & shown_in_original(prediction)
    if not valid.any():
        raise UserError(
            "the prediction has no valid point: every depth is 0 or in the padding; nothing to show or export"
        )
    return valid


def _check_finite(prediction: Prediction, name: str) -> None:
    value = getattr(prediction, name)
    bad = ~np.isfinite(value).reshape(len(value), -1).all(1)
    if not bad.any():
        return
    names = [prediction.frame_names[i] for i in np.flatnonzero(bad)[:5]]
    hint = "predict again, in float32 if this was half precision; a missing depth is written as 0"
    if name == "K":
        hint = "a field of view of 0, which hardly trained weights predict; take others, or give intrinsics"
    count = f"{int(bad.sum())} of {len(bad)} frames"
    raise UserError(f"{name} of {count} is not finite (NaN or infinite), first {names}; {hint}")


def _check_possible(prediction: Prediction) -> None:
    """A file may hold what no network predicts: scaled cameras, no focal length, depth whose square is infinite."""
    wrong = no_rotations(prediction.cam_from_world[:, :, :3].astype(np.float64))
    away = max(_reach_of_depth(prediction), float(np.abs(prediction.cam_from_world[:, :, 3]).max()))
    focal = prediction.K[:, [0, 1], [0, 1]]
    if wrong.any():
        frame = int(wrong.argmax())
        name = prediction.frame_names[frame]
        raise UserError(f"the camera of frame {frame} ({name}) is not rigid; expected cam_from_world as [R | t]")
    # A negative one is what hardly trained weights predict of a field of view beyond half a turn, and can be drawn.
    if (focal == 0).any():
        raise UserError("a focal length is 0 px; expected positive ones: give --intrinsics")
    check_camera_matrices(prediction.K.astype(np.float64))
    if away > MAX_POSITION:
        raise UserError(f"points or cameras reach {away:g}; expected at most {MAX_POSITION:g}, in whatever unit")


def _reach_of_depth(prediction: Prediction) -> float:
    """How far points can lie from their cameras, sideways too: that of a corner at the largest depth."""
    K, last = prediction.K.astype(np.float64), np.array(prediction.size_hw[::-1]) - 1
    focal, centre = np.abs(K[:, [0, 1], [0, 1]]), K[:, :2, 2]
    corner = np.maximum(np.abs(centre), np.abs(last - centre))
    aside = corner / np.maximum(focal, np.finfo(np.float64).tiny)
    return float(prediction.depth.max()) * max(1.0, float(aside.max()))


def points_in_world(prediction: Prediction, frame: int, pixel: NDArray[np.integer[Any]]) -> NDArray[np.float32]:
    """World points (N, 3) of one frame's pixels (N, 2), given as (x, y), lifted from depth and camera.

    Note:    depth, and not the point head, because the public evaluation of VGGT finds its lifted depth more accurate,
             and because it stays consistent with the cameras that are exported beside it.
    """
    depth = torch.from_numpy(prediction.depth[frame][pixel[:, 1], pixel[:, 0]]).double()
    K, pose = (torch.from_numpy(a[frame]).double() for a in (prediction.K, prediction.cam_from_world))
    local = unproject_pixels(torch.from_numpy(pixel).double(), depth, K)
    return transform(invert(pose), local).float().numpy()


def _head_points(prediction: Prediction) -> NDArray[np.float32]:
    if prediction.points is None:
        raise UserError("this prediction has no point head output; use the points lifted from depth")
    return prediction.points


def _known_points(points: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which points (S, H, W, 3) are finite.

    Raises:  UserError if one lies farther than any scene.
    """
    known = np.isfinite(points)
    reach = np.abs(points).max(initial=0, where=known)
    if reach > MAX_POSITION:
        raise UserError(f"the point head's points reach {reach:g}; expected at most {MAX_POSITION:g}, in whatever unit")
    return np.asarray(known.all(-1))


def confidence_rank(prediction: Prediction, valid: NDArray[np.bool_], source: str = "depth") -> NDArray[np.float32]:
    """Share (S, H, W) of valid pixels that are at most as confident as each pixel, in (0, 1]; 0 where invalid.

    Note:    equal confidences share the highest rank, so that a constant confidence drops nothing.
    """
    confidence = _confidence(prediction, source)
    rank = np.zeros(valid.shape, np.float32)
    rank[valid] = share_at_most(confidence[valid])
    return rank


def share_at_most(values: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """For each of N values the share of all that are at most as large, in (0, 1]; equal values share the highest rank.

    Note:    NaN compares with nothing, so it ranks below all others, at 0.
    """
    known = ~np.isnan(values)
    order = np.argsort(np.where(known, values, -np.inf))
    ordered = values[order]
    # Of a run of equal values each takes the position one past the run's last.
    ends = np.flatnonzero(np.append(ordered[1:] != ordered[:-1], True)) + 1
    rank = np.empty(len(values))
    rank[order] = np.repeat(ends, np.diff(ends, prepend=0)) / max(len(values), 1)
    return np.where(known, rank, 0)


def _confidence(prediction: Prediction, source: str) -> NDArray[np.float32]:
    confidence = prediction.points_conf if source == "points" else prediction.depth_conf
    if confidence is None:
        raise UserError("this prediction has no confidence of the point head; use the points lifted from depth")
    return confidence


def check_moving(prediction: Prediction, moving: NDArray[np.bool_] | None) -> NDArray[np.bool_]:
    """The moving mask as bool (S, H, W), all still where there is none."""
    if moving is None:
        return np.zeros(prediction.depth.shape, np.bool_)
    moving = as_mask(moving, "the moving mask")
    if moving.shape != prediction.depth.shape:
        raise UserError(
            f"the moving mask has shape {moving.shape}, expected {prediction.depth.shape}, one value per pixel"
        )
    return moving


def cloud_of(
    prediction: Prediction, options: CloudOptions | None = None, moving: NDArray[np.bool_] | None = None
) -> Cloud:
    """All frames' valid, confident pixels as one coloured cloud, thinned at random to `options.max_points`.

    Shapes:  moving bool (S, H, W) or None -> Cloud of N points.
    Raises:  UserError if nothing is left to show.
    """
    options = options or CloudOptions()
    moving = check_moving(prediction, moving)
    keep = _kept_pixels(prediction, options)
    counts = keep.sum((1, 2))
    ends = np.cumsum(counts)
    # Pixels are chosen before they are lifted: most of them are thinned away.
    chosen = _thin_out(int(ends[-1]), options)
    frames = []
    for i, (count, end) in enumerate(zip(counts.tolist(), ends.tolist(), strict=True)):
        here = slice(*np.searchsorted(chosen, [end - count, end]))
        index = np.flatnonzero(keep[i])[chosen[here] - (end - count)]
        frames.append(_frame_cloud(prediction, i, index, options.source, moving[i]))
    return joined_clouds(frames)


def point_count(prediction: Prediction, options: CloudOptions) -> int:
    """How many points `cloud_of` gives."""
    count = int(_kept_pixels(prediction, options).sum())
    return count if options.max_points is None else min(count, options.max_points)


def joined_clouds(clouds: Sequence[Cloud]) -> Cloud:
    """All points of several clouds.

    Raises:  UserError if there is none.
    """
    if not clouds:
        raise UserError("no frame has a point: every depth is 0; nothing to show or export")
    names = [f.name for f in fields(Cloud)]
    columns = (np.concatenate(list(map(attrgetter(name), clouds))) for name in names)
    return Cloud(*columns)


def _kept_pixels(prediction: Prediction, options: CloudOptions) -> NDArray[np.bool_]:
    """Pixels (S, H, W) that are valid, finite, and not among the least confident."""
    keep, confidence = usable_pixels(prediction), _confidence(prediction, options.source)
    keep &= confidence >= _least_confidence(confidence[keep], options.drop)
    if options.source == "points":
        keep &= _known_points(_head_points(prediction))
    if not keep.any():
        raise UserError(f"no finite point is left after dropping the least confident {options.drop:.0%}; drop fewer")
    return keep


def _least_confidence(values: NDArray[np.float32], drop: float) -> np.float32:
    """The smallest of N confidences that is kept: the one that more than the share `drop` are at most as large as."""
    position = int(drop * len(values))
    # NaN is no confidence at all: it counts as the lowest, and compares with nothing, so it is never kept.
    return np.float32(np.partition(np.where(np.isnan(values), -np.inf, values), position)[position])


def _thin_out(count: int, options: CloudOptions) -> NDArray[np.int64]:
    """Which of `count` points are taken, in order."""
    if options.max_points is None or count <= options.max_points:
        return np.arange(count)
    return np.sort(np.random.default_rng(options.seed).choice(count, options.max_points, replace=False))


def _frame_cloud(
    prediction: Prediction, i: int, index: NDArray[np.int64], source: str, moving: NDArray[np.bool_]
) -> Cloud:
    """The points of one frame at flat pixel indices (N,)."""
    row, column = np.divmod(index, prediction.size_hw[1])
    at = row, column
    pixel = np.stack((column, row), -1)
    xyz = _head_points(prediction)[i][at] if source == "points" else points_in_world(prediction, i, pixel)
    rgb, confidence = prediction.images[i][at], _confidence(prediction, source)[i][at]
    frame = np.full(len(index), i, np.int32)
    return Cloud(xyz, rgb, confidence, frame, pixel.astype(np.int32), moving[at])


def frustum_size(prediction: Prediction, xyz: NDArray[np.float32]) -> float:
    """Depth at which a drawn camera's image plane stands: a share of the scene, or of the camera's path if longer."""
    centres = world_from_cam(prediction)[:, :, 3]
    spread = np.linalg.norm(np.percentile(xyz, 95, 0) - np.percentile(xyz, 5, 0)) if len(xyz) else 1.0
    path = np.linalg.norm(np.ptp(centres, axis=0))
    return float(max(0.04 * spread, 0.05 * path, 1e-6))


def frustum_corners(prediction: Prediction, size: float) -> NDArray[np.float64]:
    """Centre and image corners (S, 5, 3) of every camera in the world, corners clockwise from the top left.

    Frame:   corners lie on the outer pixel edges (-0.5 ... W - 0.5) at depth `size`.
    """
    h, w = prediction.size_hw
    left, top, right, bottom = -0.5, -0.5, w - 0.5, h - 0.5
    x, y = [left, right, right, left], [top, top, bottom, bottom]
    edge = np.stack((x, y, np.ones(4)), -1)
    inverse = np.linalg.inv(prediction.K.astype(np.float64))
    rays = size * np.einsum("sij,nj->sni", inverse, edge)
    centre = np.zeros((len(prediction), 1, 3))
    local = torch.from_numpy(np.concatenate((centre, rays), 1))
    return transform(torch.from_numpy(world_from_cam(prediction)), local).numpy()
