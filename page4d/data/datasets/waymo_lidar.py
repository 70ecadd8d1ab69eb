"""Waymo range images turned into world points, with the image pixels that see them.

A range image has a row for each beam (top beam first) and a column for each azimuth, from +pi at the left to -pi at
the right, both at cell centres. Source: the column documentation and range image definition of waymo-open-dataset v2.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from page4d.data.datasets.waymo_tables import read_component
from page4d.schema import UserError

TOP_LASER = 1
Inclination = NDArray[np.float64] | tuple[float, float]
_STAMP, _LASER = "key.frame_timestamp_micros", "key.laser_name"


def laser_points(
    base: Path, segment: str, where: Any, vehicle_poses: Mapping[int, NDArray[np.float64]], camera: int
) -> dict[int, NDArray[np.float64]]:
    """First returns of all lasers that the camera sees, by stamp: (N, 5) as world x y z and pixel u v.

    Units:   metres in Waymo's world; pixels of the stored image, as whole numbers.
    """
    ranges = _images(base, "lidar", "LiDARComponent", segment, where)
    seen = _images(base, "lidar_camera_projection", "LiDARCameraProjectionComponent", segment, where)
    poses = _images(base, "lidar_pose", "LiDARPoseComponent", segment, where)
    calibrations = _calibrations(base, segment)
    clouds: dict[int, list[NDArray[np.float64]]] = {}
    for (stamp, laser), image in ranges.items():
        if laser not in calibrations or (stamp, laser) not in seen:
            raise UserError(f"waymo/{segment}: laser {laser} has no calibration or no camera projection at {stamp}")
        hit, pixels = _pixels_of(seen[stamp, laser], camera)
        hit &= image[..., 0] > 0
        points = _vehicle_points(image[..., 0], *calibrations[laser])[hit]
        if laser == TOP_LASER and (stamp, laser) in poses:
            world = _world_by_pixel(points, poses[stamp, laser][hit])
        else:
            world = points @ vehicle_poses[stamp][:3, :3].T + vehicle_poses[stamp][:3, 3]
        clouds.setdefault(stamp, []).append(np.hstack((world, pixels[hit])))
    return {stamp: np.concatenate(parts) for stamp, parts in clouds.items()}


def _images(base: Path, folder: str, component: str, segment: str, where: Any) -> dict[tuple[int, int], NDArray[Any]]:
    """First-return images by (stamp, laser)."""
    values, shape = (f"[{component}].range_image_return1.{n}" for n in ("values", "shape"))
    rows = read_component(base / folder / f"{segment}.parquet", [_STAMP, _LASER, values, shape], where)
    found = {}
    for row in rows:
        if row[values] is not None:
            image = np.array(row[values], np.float64).reshape(row[shape])
            found[int(row[_STAMP]), int(row[_LASER])] = image
    return found


def _calibrations(base: Path, segment: str) -> dict[int, tuple[NDArray[np.float64], Inclination]]:
    """For each laser vehicle from laser (4, 4), and its beams' inclinations or their (min, max)."""
    prefix = "[LiDARCalibrationComponent]."
    names = [prefix + n for n in ("extrinsic.transform", "beam_inclination.min", "beam_inclination.max")]
    values = prefix + "beam_inclination.values"
    rows = read_component(base / "lidar_calibration" / f"{segment}.parquet", [_LASER, *names, values])
    found = {}
    for row in rows:
        vehicle_from_laser = np.array(row[names[0]], np.float64).reshape(4, 4)
        beams = _inclination(row[values], row[names[1]], row[names[2]])
        found[int(row[_LASER])] = (vehicle_from_laser, beams)
    return found


def _inclination(values: NDArray[np.float64] | None, low: float, high: float) -> Inclination:
    return (float(low), float(high)) if values is None or len(values) == 0 else np.asarray(values, np.float64)


def _vehicle_points(
    distance: NDArray[np.float64], vehicle_from_laser: NDArray[np.float64], inclination: Inclination
) -> NDArray[np.float64]:
    """Points (H, W, 3) in the vehicle's frame."""
    height, width = distance.shape
    if isinstance(inclination, tuple):
        low, high = inclination
        rising = low + (np.arange(height) + 0.5) / height * (high - low)
    else:
        rising = inclination
    beam = rising[::-1, None]
    # Column 0 looks backwards in the vehicle's frame whatever the laser's own yaw.
    yaw = np.arctan2(vehicle_from_laser[1, 0], vehicle_from_laser[0, 0])
    turn = 1 - 2 * (np.arange(width) + 0.5) / width
    azimuth = turn * np.pi - yaw
    x, y = np.cos(azimuth) * np.cos(beam), np.sin(azimuth) * np.cos(beam)
    z = np.broadcast_to(np.sin(beam), distance.shape)
    points = distance[..., None] * np.stack((x, y, z), -1)
    return np.asarray(points @ vehicle_from_laser[:3, :3].T + vehicle_from_laser[:3, 3])


def _world_by_pixel(points: NDArray[np.float64], pose: NDArray[np.float64]) -> NDArray[np.float64]:
    """World points from vehicle points (N, 3) with a pose each: roll, pitch, yaw, x, y, z (N, 6)."""
    roll, pitch, yaw = pose[:, :3].T
    x, y, z = points.T
    y, z = _turned(y, z, roll)
    z, x = _turned(z, x, pitch)
    x, y = _turned(x, y, yaw)
    return np.stack((x, y, z), -1) + pose[:, 3:]


def _turned(
    first: NDArray[np.float64], second: NDArray[np.float64], angle: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Two coordinates after a turn from the first axis towards the second."""
    cos, sin = np.cos(angle), np.sin(angle)
    return cos * first - sin * second, sin * first + cos * second


def _pixels_of(projection: NDArray[np.float64], camera: int) -> tuple[NDArray[np.bool_], NDArray[np.float64]]:
    """Which range pixels (H, W) the camera sees, and where (H, W, 2); a point may be in two cameras."""
    first, second = projection[..., 0] == camera, projection[..., 3] == camera
    return first | second, np.where(first[..., None], projection[..., 1:3], projection[..., 4:6])
