"""Points that truly move through the world: lifted from a data set's own tracks and depth, or stored as they are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter, minimum_filter

from page4d.evaluate.rules import UnscorableError
from page4d.io.trajectories import rigid_inverse
from page4d.schema import Clip, UserError

Array = NDArray[np.floating[Any]]
SMOOTH = 1.05
"""Depths around a point may differ by this ratio: beyond it lies an edge, where a track may stand on either side."""

DISAGREEMENT = 0.05
"""Stored points farther from the lifted ones than this share of their distance, in the median, are of another world."""


@dataclass(frozen=True)
class TrackTruth:
    """N points over S frames, picked in the first.

    Shapes:  points (S, N, 3); seen bool (S, N); query_xy (N, 2); cam_from_world (4, 4) of the first frame.
    Units:   points in the truth's unit, of no meaning where they are not seen; query_xy in pixels of the first image.
    Frame:   the truth's world.
    """

    points: NDArray[np.float64]
    seen: NDArray[np.bool_]
    query_xy: NDArray[np.float64]
    cam_from_world: NDArray[np.float64]

    def of_first(self) -> TrackTruth:
        """Only the points that the first frame sees, which alone can be asked for."""
        there = self.seen[0]
        return TrackTruth(self.points[:, there], self.seen[:, there], self.query_xy[there], self.cam_from_world)


def lifted(clip: Clip) -> TrackTruth:
    """The 2-D tracks of a clip lifted by its depth, where the depth around them has no edge.

    Raises:  UserError for a clip without tracks.
    """
    if clip.tracks is None or clip.tracks_visible is None:
        raise UserError(f"{clip.name} has no tracks; this benchmark needs those of the release, or prepared ones")
    depth = np.where(clip.valid.numpy(), clip.depth.double().numpy(), 0)
    poses, K = clip.cam_from_world.double().numpy(), clip.K.double().numpy()
    return lift_tracks(clip.tracks.double().numpy(), clip.tracks_visible.numpy(), depth, K, poses)


def lift_tracks(
    xy: NDArray[np.float64], seen: NDArray[np.bool_], depth: Array, K: Array, cam_from_world: Array
) -> TrackTruth:
    """Tracks (S, N, 2) as points of the world by depth (S, H, W), K (S, 3, 3) and cameras (S, 3 or 4, 4)."""
    points, usable = np.zeros((*seen.shape, 3)), seen.copy()
    for i, world_from_cam in enumerate(rigid_inverse(cam_from_world)):
        usable[i] &= off_edges(depth[i], xy[i])
        rays = np.insert(xy[i], 2, 1.0, axis=1) @ np.linalg.inv(K[i]).T
        lengths = depth_between(depth[i], xy[i])[:, None]
        points[i] = (rays * lengths) @ world_from_cam[:3, :3].T + world_from_cam[:3, 3]
    first = np.eye(4)
    first[:3] = cam_from_world[0, :3]
    return TrackTruth(points, usable, xy[0], first)


def in_place_of(from_depth: TrackTruth, stored: NDArray[np.float64], name: str) -> TrackTruth:
    """A release's own points (S, N, 3) instead of those lifted by depth, where a point has them.

    Raises:  UnscorableError if the two disagree: another world or unit, or one of the scenes whose truth is wrong.
    """
    seen = from_depth.seen & np.isfinite(stored).all(-1)
    if not seen.any():
        raise UnscorableError(f"{name}: no point of trajs_3d is finite where one is seen")
    eye = -from_depth.cam_from_world[:3, :3].T @ from_depth.cam_from_world[:3, 3]
    away = np.linalg.norm(from_depth.points[seen] - eye, axis=-1)
    apart = np.median(np.linalg.norm(stored[seen] - from_depth.points[seen], axis=-1) / away)
    if apart > DISAGREEMENT:
        raise UnscorableError(f"{name}: trajs_3d lies {apart:.0%} of the distance away from what depth and cameras say")
    points = np.where(seen[..., None], stored, 0.0)
    return TrackTruth(points, seen, from_depth.query_xy, from_depth.cam_from_world)


def depth_between(depth: Array, xy: NDArray[np.float64]) -> NDArray[np.float64]:
    """Depth (N,) between the pixels of a map (H, W) at xy (N, 2); 0 where there is none.

    Note:    inverse depth is what is interpolated, because it is linear over a plane.
    """
    inverse = np.divide(1.0, depth, out=np.zeros(depth.shape), where=depth > 0)
    x, y = xy.T.astype(np.float32)
    found = cv2.remap(inverse.astype(np.float32), x[None], y[None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    between: NDArray[np.float64] = np.divide(1.0, found[0], out=np.zeros(len(xy)), where=found[0] > 0)
    return between


def off_edges(depth: Array, xy: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which of the pixels (N, 2) lie inside a map where all depths around are measured and alike."""
    near, far = minimum_filter(depth, 3), maximum_filter(depth, 3)
    whole = (near > 0) & (far < SMOOTH * near)
    last = np.array(depth.shape[::-1]) - 1
    inside = ((xy >= 0) & (xy <= last)).all(1)
    columns, rows = np.floor(xy + 0.5).astype(int).clip(0, last).T
    return np.asarray(inside & whole[rows, columns])


def through_cameras(
    camera_points: NDArray[np.float64], seen: NDArray[np.bool_], K: NDArray[np.float64], cam_from_world: Array
) -> TrackTruth:
    """Points (S, N, 3) stored in each frame's own camera, by K (3, 3) of all frames and cameras (S, 4, 4)."""
    poses = rigid_inverse(cam_from_world)
    world = np.einsum("sij,snj->sni", poses[:, :3, :3], camera_points) + poses[:, None, :3, 3]
    first = camera_points[0]
    z = np.where(first[:, 2:] > 0, first[:, 2:], np.nan)
    xy = (first @ K.T)[:, :2] / z
    known = np.isfinite(xy).all(1)
    there = seen & known & np.isfinite(world).all(-1)
    return TrackTruth(world, there, np.where(known[:, None], xy, 0), cam_from_world[0].astype(np.float64))


def select_frames(truth: TrackTruth, frames: Sequence[int]) -> TrackTruth:
    """Some of the frames; the first stays the one that is asked about."""
    chosen = list(frames)
    if chosen[0] != 0:
        raise UserError(f"the first frame is number {chosen[0]}; points are picked in frame 0, keep it")
    if max(chosen) >= len(truth.points):
        raise UserError(f"there is a picture of frame {max(chosen)}, but tracks of {len(truth.points)} frames alone")
    return TrackTruth(truth.points[chosen], truth.seen[chosen], truth.query_xy, truth.cam_from_world)
