"""Kubric / MOVi: rendered scenes of falling and thrown objects.

Its layout is the files a Kubric worker writes; `page4d prepare kubric` makes them from the public TFRecord release.

    <root>/<scene>/
      rgba_00000.png  segmentation_00000.png
      depth_00000.tiff                Euclidean distance to the camera's centre: float metres, or uint16 over
                                      metadata.depth_range
      metadata.json                   camera (field_of_view, positions, quaternions w x y z), instances, metadata
      tracks.npy (N, T, 2), track_masks.npy (N, T)      optional, `page4d prepare kubric-tracks` writes them

Differs from the public loader: it takes fy = fx W / H, right for square images only (square pixels have fy = fx); it
reads uint16 depth as metres; it clamps the camera index, and falls back to a field of view of 50 degrees.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from page4d.data.datasets.base import ClipTracks, Download, Frame, SceneDataset
from page4d.data.datasets.formats import read_json, read_labels, read_rgb, read_tiff
from page4d.geometry import OPENGL_AXES
from page4d.io.arrays import read_npy
from page4d.io.names import by_number, list_files
from page4d.io.trajectories import poses_from_rows, rigid_inverse
from page4d.schema import UserError

BEYOND_M = 1e6
MOVED_M, TURNED_RAD = 1e-3, 2e-3


@dataclass(frozen=True)
class KubricOptions:
    """`tracks=False` leaves the tracks unread."""

    tracks: bool = True


class Kubric(SceneDataset[KubricOptions]):
    """Kubric worker folders; `moving` marks the instances that move between a frame and one of its neighbours."""

    name = "kubric"
    options_kind = KubricOptions
    splits = ("train", "validation", "test")
    min_frames = 8
    download = Download(
        "Kubric MOVi-E / MOVi-F",
        "the TFRecords gs://kubric-public/tfds/movi_f/512x512 (then run `page4d prepare kubric`)",
        "hundreds of GB at 512 x 512, tens of GB at 128 x 128; `gsutil du` gives the size",
        "https://github.com/google-research/kubric/tree/main/challenges/movi",
    )

    def _scan(self) -> dict[str, list[int]]:
        scenes = [path.parent for path in sorted(self.folder.glob("*/metadata.json"))]
        return {scene.name: list(by_number(list_files(scene, {".png"}, "rgba_"))) for scene in scenes}

    def image_files(self, sequence: str) -> dict[int, Path]:
        """A sequence's images by frame number."""
        folder = self.folder / sequence
        return {number: folder / f"rgba_{number:05d}.png" for number in self.frame_numbers(sequence)}

    def _frame(self, sequence: str, number: int) -> Frame:
        folder = self.folder / sequence
        metadata = _metadata(folder / "metadata.json")
        image = read_rgb(folder / f"rgba_{number:05d}.png")
        K = kubric_intrinsics(metadata["camera"], *image.shape[:2])
        pose = cam_from_world(metadata["camera"], number, folder)
        read_depth = partial(_read_depth, folder / f"depth_{number:05d}.tiff", metadata, K)
        instances = _read_instances(folder / f"segmentation_{number:05d}.png")
        moving = None if instances is None else moving_instances(metadata, number, folder)[instances]
        return Frame(image, read_depth, pose, K, moving, instances)

    def _tracks(self, sequence: str, numbers: Sequence[int]) -> ClipTracks | None:
        folder = self.folder / sequence
        if not self.options.tracks or not (folder / "tracks.npy").is_file():
            return None
        xy, seen = read_npy(folder / "tracks.npy"), read_npy(folder / "track_masks.npy")
        known = self.frame_numbers(sequence)
        if xy.shape[1] != len(known) or xy.shape[:2] != seen.shape:
            raise UserError(
                f"{folder}: tracks of {xy.shape[1]} frames, images of {len(known)}; prepare the tracks again"
            )
        at = [known.index(number) for number in numbers]
        return ClipTracks.of(xy[:, at].swapaxes(0, 1), seen[:, at].swapaxes(0, 1))


def _read_depth(path: Path, metadata: Mapping[str, Any], K: NDArray[np.float64]) -> NDArray[np.float32]:
    return z_from_distance(distance_m(read_tiff(path), metadata, path.parent), K)


def _read_instances(path: Path) -> NDArray[np.int64] | None:
    """The instance of every pixel, None where the scene has no segmentation."""
    if not path.is_file():
        return None
    instances = read_labels(path)
    if instances.max() > 255:
        raise UserError(f"{path} has labels up to {instances.max()}; expected the 8-bit indices of Kubric")
    return instances


@lru_cache(maxsize=64)
def _metadata(path: Path) -> Mapping[str, Any]:
    stored: Mapping[str, Any] = read_json(path)
    if "camera" not in stored:
        raise UserError(f"{path} has no camera; it is not the metadata of a Kubric worker")
    return stored


def kubric_intrinsics(camera: Mapping[str, Any], height: int, width: int) -> NDArray[np.float64]:
    """K (3, 3) in pixels from the horizontal field of view; pixels are square, the axis meets the image's centre."""
    if "field_of_view" in camera:
        focal = width / 2 / np.tan(float(camera["field_of_view"]) / 2)
    elif "focal_length" in camera and "sensor_width" in camera:
        focal = float(camera["focal_length"]) / float(camera["sensor_width"]) * width
    else:
        raise UserError("a Kubric camera has neither field_of_view nor focal_length and sensor_width")
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


def cam_from_world(camera: Mapping[str, Any], number: int, folder: Path) -> NDArray[np.float64]:
    """OpenCV camera from world (4, 4); the file has world from camera with OpenGL axes (y up, looking along -z)."""
    positions, quaternions = camera["positions"], camera["quaternions"]
    if number >= min(len(positions), len(quaternions)):
        raise UserError(f"{folder}/metadata.json has {len(positions)} cameras; there is none for frame {number}")
    pose = object_pose(positions[number], quaternions[number], f"{folder}/metadata.json, frame {number}")
    pose[:3, :3] *= np.array(OPENGL_AXES)
    return rigid_inverse(pose)


def object_pose(position: Sequence[float], quaternion_wxyz: Sequence[float], place: str) -> NDArray[np.float64]:
    """World from object (4, 4) from a position and a quaternion w, x, y, z; `place` begins the message of a failure."""
    w, x, y, z = quaternion_wxyz
    (pose,) = poses_from_rows(np.array([[*position, x, y, z, w]], np.float64), place)
    return np.asarray(pose)


def distance_m(
    stored: NDArray[np.float32] | NDArray[np.uint16], metadata: Mapping[str, Any], folder: Path
) -> NDArray[np.float32]:
    """Distance in metres: floats as they are, uint16 mapped to metadata.depth_range; beyond 1e6 m is nothing."""
    if stored.dtype == np.uint16:
        span = (metadata.get("metadata") or {}).get("depth_range") or metadata.get("depth_range")
        if span is None:
            raise UserError(f"{folder}: depth is uint16, but metadata.json has no depth_range to map it to metres")
        metres = span[0] + stored.astype(np.float64) / 65535 * (span[1] - span[0])
    else:
        metres = stored.astype(np.float64)
    return np.where(metres < BEYOND_M, metres, 0).astype(np.float32)


def z_from_distance(distance: NDArray[np.float32], K: NDArray[np.float64]) -> NDArray[np.float32]:
    """z-depth (H, W) from the distance to the camera's centre: z = d / |K^-1 (u, v, 1)|."""
    height, width = distance.shape
    x = (np.arange(width) - K[0, 2]) / K[0, 0]
    y = (np.arange(height) - K[1, 2]) / K[1, 1]
    ray_length = np.sqrt(1 + x[None, :] ** 2 + y[:, None] ** 2)
    return np.asarray(distance / ray_length, np.float32)


def moving_instances(metadata: Mapping[str, Any], number: int, folder: Path) -> NDArray[np.bool_]:
    """Whether each label of the segmentation moves at a frame: bool (256,); label 0 is the background.

    Note:    label k is the k-th entry of `instances`, also if an entry before it has no poses.
    """
    table = np.zeros(256, bool)
    instances: Sequence[Mapping[str, Any]] = metadata.get("instances") or []
    if len(instances) > 255:
        raise UserError(f"{folder}/metadata.json has {len(instances)} instances; an 8-bit segmentation holds 255")
    for label, instance in enumerate(instances, start=1):
        positions, quaternions = instance.get("positions"), instance.get("quaternions")
        if positions and quaternions:
            neighbours = [other for other in (number - 1, number + 1) if 0 <= other < len(positions)]
            table[label] = any(_moved(positions, quaternions, number, other) for other in neighbours)
    return table


def _moved(positions: Any, quaternions: Any, a: int, b: int) -> bool:
    step = float(np.linalg.norm(np.subtract(positions[a], positions[b])))
    q, r = (np.array(quaternions[i], np.float64) for i in (a, b))
    half_cosine = abs(float(q @ r)) / float(np.linalg.norm(q) * np.linalg.norm(r))
    return step > MOVED_M or 2 * math.acos(min(1.0, half_cosine)) > TURNED_RAD
