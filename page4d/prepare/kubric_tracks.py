"""Point tracks for Kubric / MOVi scenes, computed from depth, segmentation and the poses of objects and camera.

A grid of pixels of the first frame is lifted into the world; each point moves rigidly with the instance that its
pixel belongs to. A track is visible where it projects into the image and the depth map does not lie in front of it.

Differs from the public script: distances are turned into z before depths are compared (there, occluded points far
from the optical axis pass as visible); depth is compared with the neighbouring pixels of the same instance, never
with a mean across an edge; an instance without poses keeps its number, and its points get no track.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from page4d.data.datasets import ClipSelection
from page4d.data.datasets.formats import read_json
from page4d.data.datasets.kubric import Kubric, KubricOptions, object_pose
from page4d.data.manifest import Manifest
from page4d.io.trajectories import rigid_inverse
from page4d.prepare.plans import Plan
from page4d.schema import Clip, UserError

MANIFEST = "manifest_tracks.json"
Array = NDArray[np.float64]


@dataclass(frozen=True)
class TrackOptions:
    """The grid of first-frame pixels, and how far behind the depth map a point may lie and still be seen."""

    step: int = 8
    offset: int = 4
    depth_tolerance: float = 0.01

    def __post_init__(self) -> None:
        if self.step < 1 or self.offset < 0 or self.depth_tolerance < 0:
            raise UserError(f"tracks with {self}: expected step of at least 1 and no negative offset or tolerance")


@dataclass(frozen=True)
class SceneMotion:
    """Poses of the instances of a scene: world from object, (instance label, frame, 4, 4); NaN where unknown."""

    world_from_object: Array

    @classmethod
    def of(cls, metadata: dict[str, Any], frames: Sequence[int]) -> SceneMotion:
        """Read the instances of a Kubric metadata file; label 0 is the background and stands still."""
        instances = metadata.get("instances") or []
        poses = np.full((len(instances) + 1, len(frames), 4, 4), np.nan)
        poses[0] = np.eye(4)
        for label, instance in enumerate(instances, start=1):
            positions, quaternions = instance.get("positions") or (), instance.get("quaternions") or ()
            if min(len(positions), len(quaternions)) > max(frames):
                poses[label] = [
                    object_pose(positions[f], quaternions[f], f"instance {label}, frame {f}") for f in frames
                ]
        return cls(poses)

    def since_first(self, labels: NDArray[np.int64], frame: int) -> Array:
        """World-to-world motion (N, 4, 4) of the points of these instances from the first frame to `frame`."""
        unknown = labels >= len(self.world_from_object)
        chosen = np.where(unknown, 0, labels)
        known = self.world_from_object[chosen]
        first = np.where(np.isnan(known[:, 0]), np.eye(4), known[:, 0])
        motion: Array = known[:, frame] @ np.linalg.inv(first)
        motion[unknown] = np.nan
        return motion


def _lift(clip: Clip, options: TrackOptions) -> tuple[Array, NDArray[np.int64]]:
    """World points (N, 3) of the measured grid pixels of the first frame, and their instance labels."""
    assert clip.instances is not None
    depth, K = clip.depth[0].double().numpy(), clip.K[0].double().numpy()
    rows = np.arange(options.offset, depth.shape[0], options.step)
    columns = np.arange(options.offset, depth.shape[1], options.step)
    v, u = (axis.ravel() for axis in np.meshgrid(rows, columns, indexing="ij"))
    measured = depth[v, u] > 0
    v, u = v[measured], u[measured]
    pixels = np.stack((u, v, np.ones_like(u)), -1).astype(np.float64)
    rays = pixels @ np.linalg.inv(K).T
    points = _move_points(rigid_inverse(_pose(clip, 0)), rays * depth[v, u, None])
    return points, clip.instances[0].numpy()[v, u]


def _move_points(pose: Array, points: Array) -> Array:
    """Points (N, 3) after a rigid transform (4, 4)."""
    return np.asarray(points @ pose[:3, :3].T + pose[:3, 3])


def _pose(clip: Clip, frame: int) -> Array:
    pose = np.eye(4)
    pose[:3] = clip.cam_from_world[frame].double().numpy()
    return pose


def _seen(
    clip: Clip, frame: int, xy: Array, z: Array, labels: NDArray[np.int64], tolerance: float
) -> NDArray[np.bool_]:
    """Whether points are not behind what the depth map shows of their own instance at one of the pixels around."""
    assert clip.instances is not None
    depth, instances = clip.depth[frame].double().numpy(), clip.instances[frame].numpy()
    last = np.array(depth.shape[::-1]) - 1
    inside = (z > 0) & (xy >= -0.5).all(-1) & (xy < last + 0.5).all(-1)
    base = np.floor(np.where(inside[:, None], xy, 0)).astype(np.int64)
    seen = np.zeros(len(xy), bool)
    for around in ((0, 0), (1, 0), (0, 1), (1, 1)):
        x, y = (base + around).clip(0, last).T
        # Only what lies behind its own instance is hidden: edges of another one are drawn half a pixel off.
        in_front = z <= (1 + tolerance) * depth[y, x]
        seen |= (instances[y, x] == labels) & in_front
    return np.asarray(inside & seen)


def tracks_of(clip: Clip, motion: SceneMotion, options: TrackOptions) -> tuple[Array, NDArray[np.bool_]]:
    """Tracks (N, T, 2) in pixels and their visibility (N, T); coordinates of points behind a camera are 0."""
    start, labels = _lift(clip, options)
    count, frames = len(start), len(clip)
    xy, visible = np.zeros((count, frames, 2)), np.zeros((count, frames), bool)
    homogeneous = np.column_stack((start, np.ones(count)))[..., None]
    for frame in range(frames):
        world = (motion.since_first(labels, frame) @ homogeneous)[:, :3, 0]
        camera = _move_points(_pose(clip, frame), world)
        ahead = np.nan_to_num(camera[:, 2]) > 1e-6
        projected = camera[ahead] @ clip.K[frame].double().numpy().T
        xy[ahead, frame] = projected[:, :2] / projected[:, 2:]
        z = np.where(ahead, camera[:, 2], 0)
        visible[:, frame] = _seen(clip, frame, xy[:, frame], z, labels, options.depth_tolerance)
    known = np.isfinite(motion.since_first(labels, 0)).all((1, 2))
    return xy[known], visible[known]


def _npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def plan_scene(scene: Path, out: Path, options: TrackOptions | None = None) -> Plan:
    """Compute the tracks of a Kubric scene folder; nothing is written yet.

    Raises:  UserError for a missing or broken file, fewer than 2 frames, or a scene without segmentation.
    """
    options = options or TrackOptions()
    split = scene.parent.name if scene.parent.name in Kubric.splits else Kubric.splits[0]
    selection = ClipSelection(split, sequences=(scene.name,), min_frames=2)
    dataset = Kubric(scene.parent, selection, KubricOptions(tracks=False))
    frames = dataset.frame_numbers(scene.name)
    clip = dataset.load(scene.name, frames)
    if clip.instances is None:
        raise UserError(f"{scene}: frames without segmentation_*.png; tracks need to know which pixel moves with what")
    xy, visible = tracks_of(clip, SceneMotion.of(read_json(scene / "metadata.json"), frames), options)
    if not len(xy):
        raise UserError(f"{scene}: no grid pixel of the first frame has depth and an instance with poses")
    share = f"{len(xy)} tracks over {len(clip)} frames, {visible.mean():.0%} of the positions visible"
    manifest = Manifest("kubric-tracks", scene.name, (), asdict(options))
    return Plan(out, MANIFEST, manifest, {"tracks.npy": _npy(xy), "track_masks.npy": _npy(visible)}, (share,))


def scenes(source: Path) -> Iterator[Path]:
    """The scene folders at `source`: itself, or its children, with a metadata.json.

    Raises:  UserError if there is none.
    """
    source = source.resolve()
    found = (
        [source] if (source / "metadata.json").is_file() else sorted(p.parent for p in source.glob("*/metadata.json"))
    )
    if not found:
        raise UserError(f"{source} holds no Kubric scene (a folder with metadata.json and rgba_*.png)")
    yield from found
