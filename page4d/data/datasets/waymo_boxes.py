"""Where something may move in a Waymo picture: the labelled 3-D boxes of objects that change their place.

Boxes are upright in the vehicle's frame at the frame's stamp (component lidar_box). Whether an object moves is read
from its box centres in the world a frame before and after, because the frame of the labelled speed is not documented.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from page4d.data.datasets.waymo_tables import read_component

STANDS_M_PER_S = 0.5
# The laser turns once in 0.1 s, and pictures are taken within that turn: a box is swept by half of it each way.
SWEEP_S = 0.05
NEAR_M = 0.1
SIGN = 3
_STAMP, _OBJECT = "key.frame_timestamp_micros", "key.laser_object_id"
_BOX = "[LiDARBoxComponent].box."
_NUMBERS = [_BOX + name for name in ("center.x", "center.y", "center.z", "size.x", "size.y", "size.z", "heading")]
_CORNERS = np.array(list(product((-0.5, 0.5), repeat=3)))


def moving_boxes(
    base: Path, segment: str, vehicle_poses: Mapping[int, NDArray[np.float64]], stamps: Sequence[int]
) -> dict[int, list[NDArray[np.float64]]] | None:
    """Boxes that move, for each of `stamps`: the world corners (16, 3) of each at both ends of its sweep.

    None if the component lidar_box was not downloaded.

    An object that is labelled in one frame only counts as moving, a traffic sign never.
    """
    path = base / "lidar_box" / f"{segment}.parquet"
    if not path.is_file():
        return None
    kind = "[LiDARBoxComponent].type"
    rows = read_component(path, [_STAMP, _OBJECT, kind, *_NUMBERS], [(_STAMP, "in", list(vehicle_poses))])
    tracks: dict[str, dict[int, NDArray[np.float64]]] = {}
    for row in rows:
        if int(row[kind]) != SIGN:
            numbers = np.array([row[name] for name in _NUMBERS], np.float64)
            tracks.setdefault(str(row[_OBJECT]), {})[int(row[_STAMP])] = numbers
    found: dict[int, list[NDArray[np.float64]]] = {stamp: [] for stamp in stamps}
    for boxes in tracks.values():
        centres = {t: (vehicle_poses[t] @ [*box[:3], 1.0])[:3] for t, box in boxes.items()}
        for stamp in found.keys() & boxes.keys():
            velocity = _velocity(centres, stamp)
            if velocity is None or np.linalg.norm(velocity) > STANDS_M_PER_S:
                sweep = np.zeros(3) if velocity is None else velocity * SWEEP_S
                corners = _world_corners(boxes[stamp], vehicle_poses[stamp])
                found[stamp].append(np.concatenate((corners - sweep, corners + sweep)))
    return found


def _velocity(centres: Mapping[int, NDArray[np.float64]], stamp: int) -> NDArray[np.float64] | None:
    """Metres a second between the labels before and after, None if there is no other label."""
    order = sorted(centres)
    at = order.index(stamp)
    before, after = order[max(0, at - 1)], order[min(len(order) - 1, at + 1)]
    if before == after:
        return None
    seconds = 1e-6 * (after - before)
    return (centres[after] - centres[before]) / seconds


def _world_corners(box: NDArray[np.float64], world_from_vehicle: NDArray[np.float64]) -> NDArray[np.float64]:
    x, y, z = (_CORNERS * box[3:6]).T
    cos, sin = np.cos(box[6]), np.sin(box[6])
    turned = np.stack((cos * x - sin * y, sin * x + cos * y, z), -1)
    corners = turned + box[:3]
    return np.asarray(corners @ world_from_vehicle[:3, :3].T + world_from_vehicle[:3, 3])


def draw_boxes(
    boxes: Sequence[NDArray[np.float64]],
    cam_from_world: NDArray[np.float64],
    K: NDArray[np.float64],
    size_hw: tuple[int, int],
) -> NDArray[np.bool_]:
    """Pixels (H, W) that a box covers: the hull of its projected corners, cut where it reaches behind the camera."""
    mask = np.zeros(size_hw, np.uint8)
    for corners in boxes:
        points = _in_front(corners @ cam_from_world[:3, :3].T + cam_from_world[:3, 3])
        if len(points):
            projected = points @ K.T
            pixels = np.rint(projected[:, :2] / projected[:, 2:]).clip(-30_000, 30_000)  # what OpenCV can draw
            cv2.fillConvexPoly(mask, cv2.convexHull(pixels.astype(np.int32)), (1,))
    return mask.astype(bool)


def _in_front(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners of the part of a convex body that lies before the camera."""
    front, behind = corners[corners[:, 2] >= NEAR_M], corners[corners[:, 2] < NEAR_M]
    if not len(front) or not len(behind):
        return front
    a, b = front[:, None], behind[None]
    share = (NEAR_M - a[..., 2:]) / (b[..., 2:] - a[..., 2:])
    return np.concatenate((front, (a + share * (b - a)).reshape(-1, 3)))
