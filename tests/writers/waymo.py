"""Waymo v2: Parquet components of a car with one camera and two lasers, far from the world's origin."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image
from scipy.spatial.transform import Rotation

from page4d.schema import Clip
from writers.scene import images_u8, poses_4x4

START_US, STEP_US = 1_550_083_467_346_370, 100_000
FAR_AWAY = np.array([-12_345.0, 23_456.0, 31.0])
# Waymo's camera looks along x, y left, z up.
WAYMO_FROM_OPENCV = np.array([[0.0, 0, 1, 0], [-1, 0, 0, 0], [0, -1, 0, 0], [0, 0, 0, 1]])


def pose(angles_zyx: tuple[float, float, float], position: tuple[float, float, float]) -> np.ndarray:
    """(4, 4) from yaw, pitch, roll and a position."""
    made = np.eye(4)
    made[:3, :3] = Rotation.from_euler("ZYX", angles_zyx).as_matrix()
    made[:3, 3] = position
    return made


# The camera looks aside, so that an error in any angle of the vehicle changes depth.
VEHICLE_FROM_CAMERA = pose((0.4, 0.05, -0.03), (1.5, -0.02, 2.1))
# How far the vehicle has moved, in its own frame, at the time of the top laser's scan and of the frame's stamp.
SCAN_FROM_PICTURE = pose((0.02, -0.03, 0.06), (0.15, 0.01, 0.0))
FRAME_FROM_PICTURE = pose((-0.01, 0.004, 0.002), (-0.2, 0.0, 0.01))


@dataclass(frozen=True)
class Laser:
    """A laser's number, place and range image; `values` says whether its inclinations are listed or only bounded."""

    number: int
    vehicle_from_laser: np.ndarray
    height: int
    width: int
    low: float
    high: float
    values: bool

    @property
    def inclinations(self) -> np.ndarray:
        """Rising, for the bottom row first."""
        if not self.values:
            return self.low + (np.arange(self.height) + 0.5) / self.height * (self.high - self.low)
        return np.linspace(self.low, self.high, self.height) ** 3 / self.high**2

    @property
    def directions(self) -> np.ndarray:
        """Unit vectors (H, W, 3) in the laser's frame; column 0 looks backwards in the vehicle, then clockwise."""
        own_yaw = np.arctan2(self.vehicle_from_laser[1, 0], self.vehicle_from_laser[0, 0])
        azimuth = np.pi - 2 * np.pi * (np.arange(self.width) + 0.5) / self.width - own_yaw
        up = self.inclinations[::-1, None] + 0 * azimuth
        return np.stack((np.cos(azimuth) * np.cos(up), np.sin(azimuth) * np.cos(up), np.sin(up)), -1)


LASERS = (
    Laser(1, pose((2.6, 0.01, -0.02), (1.43, 0.0, 2.18)), 28, 480, -0.5, 0.5, True),
    Laser(2, pose((0.3, 0.02, 0.01), (1.6, 0.1, 2.0)), 20, 240, -0.4, 0.3, False),
)


def write(root: Path, clips: Mapping[str, Clip], distortion: tuple[float, ...] = (0.0,) * 5) -> None:
    """Write segments; images must already be those of the distorted lens where `distortion` is not zero."""
    for name, clip in clips.items():
        tables: dict[str, list[dict[str, Any]]] = {
            "camera_calibration": [_camera_row(clip, distortion)],
            "lidar_calibration": [_laser_row(laser) for laser in LASERS],
        }
        for i, stamp in enumerate(START_US + STEP_US * np.arange(len(clip))):
            for component, rows in _frame(clip, i, int(stamp), np.array(distortion)).items():
                tables.setdefault(component, []).extend(rows)
        for component, rows in tables.items():
            path = root / "training" / component / f"{name}.parquet"
            path.parent.mkdir(parents=True, exist_ok=True)
            for row in rows:
                row["key.segment_context_name"] = name
            pq.write_table(pa.Table.from_pylist(rows), path)


def vehicle_poses(clip: Clip) -> np.ndarray:
    """World from vehicle (S, 4, 4) when each picture is taken."""
    cameras = np.linalg.inv(poses_4x4(clip)) @ np.linalg.inv(WAYMO_FROM_OPENCV)
    poses = cameras @ np.linalg.inv(VEHICLE_FROM_CAMERA)
    poses[:, :3, 3] += FAR_AWAY
    return poses


def world_shift(clip: Clip) -> np.ndarray:
    """What a loader adds to the clip's world points that puts the origin at the vehicle's first frame position."""
    return FAR_AWAY - (vehicle_poses(clip) @ FRAME_FROM_PICTURE)[0, :3, 3]


def _camera_row(clip: Clip, distortion: tuple[float, ...]) -> dict[str, Any]:
    K = clip.K[0].double().numpy()
    lens = dict(zip(("k1", "k2", "p1", "p2", "k3"), distortion, strict=True))
    # Waymo counts from the image's edge: the first pixel's centre is at 0.5.
    lens |= {"f_u": K[0, 0], "f_v": K[1, 1], "c_u": K[0, 2] + 0.5, "c_v": K[1, 2] + 0.5}
    row = {f"[CameraCalibrationComponent].intrinsic.{name}": float(value) for name, value in lens.items()}
    row |= {
        "[CameraCalibrationComponent].extrinsic.transform": VEHICLE_FROM_CAMERA.ravel().tolist(),
        "[CameraCalibrationComponent].width": clip.depth.shape[2],
        "[CameraCalibrationComponent].height": clip.depth.shape[1],
    }
    return row | {"key.camera_name": 1}


def _laser_row(laser: Laser) -> dict[str, Any]:
    return {
        "key.laser_name": laser.number,
        "[LiDARCalibrationComponent].extrinsic.transform": laser.vehicle_from_laser.ravel().tolist(),
        "[LiDARCalibrationComponent].beam_inclination.min": laser.low,
        "[LiDARCalibrationComponent].beam_inclination.max": laser.high,
        "[LiDARCalibrationComponent].beam_inclination.values": laser.inclinations.tolist() if laser.values else None,
    }


def _frame(clip: Clip, i: int, stamp: int, distortion: np.ndarray) -> dict[str, list[dict[str, Any]]]:
    key = {"key.frame_timestamp_micros": stamp}
    at_picture = vehicle_poses(clip)[i]
    at_frame = at_picture @ FRAME_FROM_PICTURE
    data = io.BytesIO()
    Image.fromarray(images_u8(clip)[i]).save(data, "JPEG", quality=100, subsampling=0)
    picture = {
        "[CameraImageComponent].image": data.getvalue(),
        "[CameraImageComponent].pose.transform": at_picture.ravel().tolist(),
    }
    tables: dict[str, list[dict[str, Any]]] = {
        # Another camera's picture comes first, to be left alone.
        "camera_image": [key | picture | {"key.camera_name": 2}, key | picture | {"key.camera_name": 1}],
        "vehicle_pose": [key | {"[VehiclePoseComponent].world_from_vehicle.transform": at_frame.ravel().tolist()}],
    }
    for laser in LASERS:
        at_scan = at_picture @ SCAN_FROM_PICTURE if laser.number == 1 else at_frame
        ranges, seen = scan(clip, i, laser, np.linalg.inv(at_picture) @ at_scan, distortion)
        own = key | {"key.laser_name": laser.number}
        tables.setdefault("lidar", []).append(own | _image("LiDARComponent", ranges))
        tables.setdefault("lidar_camera_projection", []).append(own | _image("LiDARCameraProjectionComponent", seen))
        if laser.number == 1:
            yaw, pitch, roll = Rotation.from_matrix(at_scan[:3, :3]).as_euler("ZYX")
            pixel_pose = np.broadcast_to([roll, pitch, yaw, *at_scan[:3, 3]], (*ranges.shape[:2], 6))
            tables.setdefault("lidar_pose", []).append(own | _image("LiDARPoseComponent", pixel_pose))
    return tables


def _image(component: str, values: np.ndarray) -> dict[str, Any]:
    # float64 keeps the far-away poses exact; Waymo's own float32 has 2 mm there.
    name = f"[{component}].range_image_return1"
    return {f"{name}.values": values.astype(np.float64).ravel(), f"{name}.shape": list(values.shape)}


def scan(
    clip: Clip, i: int, laser: Laser, picture_from_scan: np.ndarray, distortion: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Range image (H, W, 4) and camera projection (H, W, 6) whose points have exactly the depth of their pixel.

    A ray's point is where its camera depth equals the clip's depth at the pixel it falls on; rays for which a few
    steps find no such point (at edges, outside the picture) have no return.
    """
    cam_from_vehicle = np.linalg.inv(WAYMO_FROM_OPENCV) @ np.linalg.inv(VEHICLE_FROM_CAMERA)
    cam_from_laser = cam_from_vehicle @ picture_from_scan @ laser.vehicle_from_laser
    ways = laser.directions @ cam_from_laser[:3, :3].T
    K, depth = clip.K[i].double().numpy(), clip.depth[i].double().numpy()
    reach = np.full(ways.shape[:2], 3.0)
    for _ in range(12):
        points = cam_from_laser[:3, 3] + reach[..., None] * ways
        flat, inside = _pixels(points, K, np.zeros(5), depth.shape)
        z = np.where(inside, depth[flat[..., 1], flat[..., 0]], 0)
        reach = np.where(inside & (z > 0), (z - cam_from_laser[2, 3]) / np.where(inside, ways[..., 2], 1), reach)
    points = cam_from_laser[:3, 3] + reach[..., None] * ways
    flat, inside = _pixels(points, K, np.zeros(5), depth.shape)
    settled = inside & (depth[flat[..., 1], flat[..., 0]] > 0)
    settled &= np.abs(depth[flat[..., 1], flat[..., 0]] - points[..., 2]) < 1e-9
    bent, on_image = _pixels(points, K, distortion, depth.shape)
    ranges = np.zeros((*ways.shape[:2], 4))
    ranges[..., 0] = np.where(settled, reach, -1)
    seen = np.zeros((*ways.shape[:2], 6))
    usable = settled & on_image
    # Every second point is seen by another camera first: the second projection counts as well.
    second = np.arange(ways.shape[1])[None, :] % 2 == 1
    seen[..., 0], seen[..., 3] = np.where(usable & ~second, 1, 2), np.where(usable & second, 1, 0)
    seen[..., 1:3] = np.where(second[..., None], 7, bent)
    seen[..., 4:6] = np.where(second[..., None], bent, 7)
    return ranges, seen


def seen_by_lasers(clip: Clip, i: int) -> np.ndarray:
    """Pixels (H, W) of an undistorted picture that a laser's first return falls on, in the first or second camera."""
    seen = np.zeros(clip.depth.shape[1:], bool)
    for laser in LASERS:
        moved = SCAN_FROM_PICTURE if laser.number == 1 else FRAME_FROM_PICTURE
        ranges, projection = scan(clip, i, laser, moved, np.zeros(5))
        for start in (0, 3):
            hit = (ranges[..., 0] > 0) & (projection[..., start] == 1)
            u, v = projection[hit][:, start + 1 : start + 3].astype(int).T
            seen[v, u] = True
    return seen


def _pixels(
    points: np.ndarray, K: np.ndarray, distortion: np.ndarray, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray]:
    """Whole pixels (u, v) of camera points, and whether they are in front of the camera and on the image."""
    front = points[..., 2] > 0.1
    x, y = (points[..., k] / np.where(front, points[..., 2], 1) for k in (0, 1))
    k1, k2, p1, p2, k3 = distortion
    r2 = np.minimum(x * x + y * y, 4.0)
    radial = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
    xd = x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
    yd = y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
    u, v = np.rint(K[0, 0] * xd + K[0, 2]), np.rint(K[1, 1] * yd + K[1, 2])
    inside = front & (u >= 0) & (u < shape[1]) & (v >= 0) & (v < shape[0])
    return np.where(inside[..., None], np.stack((u, v), -1), 0).astype(np.int64), inside


def write_boxes(root: Path, name: str, clip: Clip, boxes: Mapping[str, tuple[np.ndarray, np.ndarray, int]]) -> None:
    """Labels of objects: centres (S, 3) in the clip's world, NaN where there is none, size (3,) and type; heading 0.3.

    A box is upright in the vehicle's frame at the frame's stamp, its first side is its length.
    """
    rows = []
    for i, stamp in enumerate(START_US + STEP_US * np.arange(len(clip))):
        vehicle_from_world = np.linalg.inv(vehicle_poses(clip)[i] @ FRAME_FROM_PICTURE)
        for identity, (centres, size, kind) in boxes.items():
            if np.isfinite(centres[i]).all():
                centre = vehicle_from_world @ [*(centres[i] + FAR_AWAY), 1.0]
                values = dict(zip(("center.x", "center.y", "center.z"), centre, strict=False))
                values |= dict(zip(("size.x", "size.y", "size.z"), size, strict=True)) | {"heading": 0.3}
                row = {f"[LiDARBoxComponent].box.{key}": float(value) for key, value in values.items()}
                key = {"key.frame_timestamp_micros": int(stamp), "key.laser_object_id": identity}
                rows.append(key | {"key.segment_context_name": name, "[LiDARBoxComponent].type": kind} | row)
    path = root / "training/lidar_box" / f"{name}.parquet"
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path)


def box_points(clip: Clip, i: int, centre: np.ndarray, size: np.ndarray, count: int = 20_000) -> np.ndarray:
    """Points (count, 3) in the clip's world, spread over a box of `write_boxes` in frame i."""
    local = np.random.default_rng(0).uniform(-0.5, 0.5, (count, 3)) * size
    turned = local @ Rotation.from_euler("Z", 0.3).as_matrix().T
    return turned @ (vehicle_poses(clip)[i] @ FRAME_FROM_PICTURE)[:3, :3].T + centre
