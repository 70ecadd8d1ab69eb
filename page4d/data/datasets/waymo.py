"""Waymo Open Dataset v2 (Parquet): driving videos with LiDAR.

Official layout, one Parquet file for each component and segment; no TensorFlow and no manifest are needed:

    <root>/{training,validation}/
      camera_image/<segment>.parquet           JPEG and the vehicle's pose at the time of the picture
      camera_calibration/<segment>.parquet     intrinsics with lens distortion, vehicle from camera
      lidar/<segment>.parquet                  range images (H, W, 4), first and second return
      lidar_camera_projection/<segment>.parquet   for each range pixel the camera and the image pixel that see it
      lidar_pose/<segment>.parquet             vehicle pose for each range pixel of the top laser
      lidar_calibration/, vehicle_pose/
      lidar_box/<segment>.parquet              optional: labelled 3-D boxes, from which the moving mask is made

The moving mask covers the projected boxes of objects faster than 0.5 m/s, so it is a little larger than what moves.
The image is undistorted. Depth is sparse: first returns of all lasers at the pixels where Waymo's own projection
(lens and rolling shutter included) puts them, moved to the undistorted image; the nearest wins. Waymo counts pixels
from the image's edge, so c - 0.5 is the principal point here. The world's origin is moved to the vehicle's first
position (`world_origin`), because float32 has millimetres to centimetres left at the original coordinates.

Differs from the public loader: it needs TensorFlow and reads v1 records from their start for every frame; it puts
depth at distorted pixels of an image that it calls a pinhole's; the last point at a pixel wins, near or far.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from io import BytesIO
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from page4d.data.datasets.base import Download, Frame, SceneDataset
from page4d.data.datasets.calibration import Calibration
from page4d.data.datasets.waymo_boxes import draw_boxes, moving_boxes
from page4d.data.datasets.waymo_lidar import laser_points
from page4d.data.datasets.waymo_tables import read_component
from page4d.io.trajectories import rigid_inverse
from page4d.schema import UserError

CAMERAS = {"FRONT": 1, "FRONT_LEFT": 2, "FRONT_RIGHT": 3, "SIDE_LEFT": 4, "SIDE_RIGHT": 5}
# Waymo's camera looks along x, with y to the left and z up.
OPENCV_FROM_WAYMO = np.array([[0.0, -1, 0, 0], [0, 0, -1, 0], [1, 0, 0, 0], [0, 0, 0, 1]])


@dataclass(frozen=True)
class Rig:
    """A segment's chosen camera: its lens and where it sits on the vehicle."""

    lens: Calibration
    cam_from_vehicle: NDArray[np.float64]


@dataclass(frozen=True)
class WaymoOptions:
    """The camera whose pictures are taken."""

    camera: Literal["FRONT", "FRONT_LEFT", "FRONT_RIGHT", "SIDE_LEFT", "SIDE_RIGHT"] = "FRONT"


class Waymo(SceneDataset[WaymoOptions]):
    """Waymo Open Dataset v2; frame numbers are ranks of the time stamps of a segment, from 0 (10 Hz)."""

    name = "waymo"
    options_kind = WaymoOptions
    splits = ("train", "val")
    split_folders = {"train": "training", "val": "validation"}  # noqa: RUF012
    min_frames = 8
    download = Download(
        "Waymo Open Dataset v2.0.1 (Perception)",
        "the components camera_image, camera_calibration, lidar, lidar_calibration, lidar_camera_projection, "
        "lidar_pose and vehicle_pose (and lidar_box for the moving mask) of training or validation",
        "about 1 GB a segment, 798 training and 202 validation segments; the bucket lists the files",
        "https://waymo.com/open/download",
    )

    @property
    def camera(self) -> int:
        """The camera's number in the files."""
        return CAMERAS[self.options.camera]

    def _scan(self) -> dict[str, list[int]]:
        self._stamps: dict[str, list[int]] = {}
        found, wanted = {}, self.selection.sequences
        for path in sorted((self.folder / "camera_image").glob("*.parquet")):
            if wanted is None or path.stem in wanted:
                rows = self._rows("camera_image", path.stem, ["key.frame_timestamp_micros"], self._this_camera())
                self._stamps[path.stem] = sorted(int(row["key.frame_timestamp_micros"]) for row in rows)
                found[path.stem] = list(range(len(rows)))
        return found

    def _this_camera(self) -> list[tuple[str, str, Any]]:
        return [("key.camera_name", "=", self.camera)]

    def _rows(self, component: str, segment: str, columns: list[str], where: Any = None) -> list[dict[str, Any]]:
        return read_component(self.folder / component / f"{segment}.parquet", columns, where)

    def _rig(self, segment: str) -> Rig:
        prefix = "[CameraCalibrationComponent]."
        names = [f"intrinsic.{n}" for n in ("f_u", "f_v", "c_u", "c_v", "k1", "k2", "p1", "p2", "k3")]
        names += ["extrinsic.transform", "width", "height"]
        rows = self._rows("camera_calibration", segment, [prefix + n for n in names], self._this_camera())
        if len(rows) != 1:
            raise UserError(f"waymo/{segment}: {len(rows)} calibrations of camera {self.camera}, expected 1")
        f_u, f_v, c_u, c_v, *bend, transform, width, height = (rows[0][prefix + n] for n in names)
        lens = Calibration(int(width), int(height), f_u, f_v, c_u - 0.5, c_v - 0.5, tuple(bend))
        return Rig(lens, OPENCV_FROM_WAYMO @ rigid_inverse(_matrix(transform)))

    def world_origin(self, sequence: str) -> NDArray[np.float64]:
        """Position (3,) of the vehicle at the segment's first stamp, in Waymo's own world: add it to undo the shift."""
        return self._vehicle_poses(sequence, self._stamps[sequence][:1])[self._stamps[sequence][0]][:3, 3]

    def _vehicle_poses(self, segment: str, stamps: Sequence[int]) -> dict[int, NDArray[np.float64]]:
        column = "[VehiclePoseComponent].world_from_vehicle.transform"
        rows = self._rows("vehicle_pose", segment, ["key.frame_timestamp_micros", column], _at(stamps))
        poses = {int(row["key.frame_timestamp_micros"]): _matrix(row[column]) for row in rows}
        if missing := sorted(set(stamps) - poses.keys()):
            raise UserError(f"waymo/{segment}: vehicle_pose has no row for the stamps {missing[:3]}")
        return poses

    def _frame(self, sequence: str, number: int) -> Frame:
        return self._frames(sequence, [number])[number]

    def _frames(self, sequence: str, numbers: Sequence[int]) -> dict[int, Frame]:
        stamp_of = {number: self._stamps[sequence][number] for number in numbers}
        stamps = list(stamp_of.values())
        rig, origin = self._rig(sequence), self.world_origin(sequence)
        pictures, boxes = self._pictures(sequence, stamps), self._moving_boxes(sequence, stamps)
        # Laser points of all frames stand in one file: read once, when the first depth map is wanted.
        clouds = cache(partial(self._clouds, sequence, tuple(stamps)))
        frames = {}
        for number, stamp in stamp_of.items():
            image, world_from_vehicle = pictures[stamp]
            cam_from_world = rig.cam_from_vehicle @ rigid_inverse(world_from_vehicle)
            K, size = rig.lens.undistorted_matrix(), (rig.lens.height, rig.lens.width)
            moving = None if boxes is None else draw_boxes(boxes[stamp], cam_from_world, K, size)
            read_depth = partial(_read_depth, clouds, stamp, cam_from_world.copy(), rig.lens)
            cam_from_world[:3, 3] += cam_from_world[:3, :3] @ origin
            frames[number] = Frame(rig.lens.undistort(image), read_depth, cam_from_world, K, moving)
        return frames

    def _pictures(
        self, segment: str, stamps: Sequence[int]
    ) -> dict[int, tuple[NDArray[np.uint8], NDArray[np.float64]]]:
        image, pose = (f"[CameraImageComponent].{n}" for n in ("image", "pose.transform"))
        where = [*self._this_camera(), *_at(stamps)]
        rows = self._rows("camera_image", segment, ["key.frame_timestamp_micros", image, pose], where)
        stamps_read = [int(row["key.frame_timestamp_micros"]) for row in rows]
        pictures = [(_decode(row[image], segment), _matrix(row[pose])) for row in rows]
        return dict(zip(stamps_read, pictures, strict=True))

    def _moving_boxes(self, segment: str, stamps: Sequence[int]) -> dict[int, list[NDArray[np.float64]]] | None:
        """Boxes for these stamps; their neighbours in time are read too, to see what moves."""
        order = self._stamps[segment]
        near: set[int] = set()
        for at in map(order.index, stamps):
            near |= set(order[max(0, at - 1) : at + 2])
        return moving_boxes(self.folder, segment, self._vehicle_poses(segment, sorted(near)), stamps)

    def _clouds(self, segment: str, stamps: Sequence[int]) -> dict[int, NDArray[np.float64]]:
        """World points with the distorted pixels that see them, (N, 5) as x y z u v, for each stamp."""
        poses = self._vehicle_poses(segment, stamps)
        points = laser_points(self.folder, segment, _at(stamps), poses, self.camera)
        if missing := sorted(set(stamps) - points.keys()):
            raise UserError(f"waymo/{segment}: lidar has no rows for the stamps {missing[:3]}")
        return points


def _read_depth(
    clouds: Callable[[], dict[int, NDArray[np.float64]]],
    stamp: int,
    cam_from_world: NDArray[np.float64],
    lens: Calibration,
) -> NDArray[np.float32]:
    return splat_lidar(clouds()[stamp], cam_from_world, lens)


def splat_lidar(
    cloud: NDArray[np.float64], cam_from_world: NDArray[np.float64], lens: Calibration
) -> NDArray[np.float32]:
    """Sparse z-depth (H, W) of the undistorted image; of several points at a pixel the nearest stays."""
    depth = np.full((lens.height, lens.width), np.inf, np.float32)
    z = cloud[:, :3] @ cam_from_world[2, :3] + cam_from_world[2, 3]
    pixels = cloud[:, 3:]
    if lens.distorted and len(pixels):
        flat = cv2.undistortPoints(
            pixels[:, None], lens.matrix, np.array(lens.distortion), None, None, lens.undistorted_matrix()
        )
        pixels = np.asarray(flat, np.float64)[:, 0]
    u, v = np.rint(pixels).astype(np.int64).T
    inside = (z > 0) & (u >= 0) & (u < lens.width) & (v >= 0) & (v < lens.height)
    np.minimum.at(depth, (v[inside], u[inside]), z[inside].astype(np.float32))
    return np.where(np.isfinite(depth), depth, 0).astype(np.float32)


def _at(stamps: Sequence[int]) -> list[tuple[str, str, Any]]:
    return [("key.frame_timestamp_micros", "in", list(stamps))]


def _matrix(values: Any) -> NDArray[np.float64]:
    return np.array(values, np.float64).reshape(4, 4)


def _decode(data: bytes, segment: str) -> NDArray[np.uint8]:
    try:
        with Image.open(BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError) as error:
        raise UserError(
            f"waymo/{segment}: an image cannot be decoded ({error}); download camera_image again"
        ) from error
