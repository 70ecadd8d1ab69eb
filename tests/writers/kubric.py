"""Kubric worker folders: RGBA, Euclidean distance, OpenGL cameras with quaternions w x y z."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from scipy.linalg import polar
from scipy.spatial.transform import Rotation

from page4d.schema import Clip
from page4d.world import Scene
from writers.scene import images_u8, poses_4x4, save_image


def write(
    root: Path,
    clips: Mapping[str, Clip],
    quantised: bool = False,
    objects: Mapping[str, Sequence[Mapping[str, Any]]] | None = None,
) -> None:
    """Write scenes; `quantised` stores distance as uint16 over depth_range, as the TFRecord release does.

    The clip needs square pixels and its principal point at ((W - 1) / 2, (H - 1) / 2).
    """
    for name, clip in clips.items():
        folder = root / name
        distances = distance(clip)
        span = [float(distances.min()), float(distances.max())]
        for i, pixels in enumerate(images_u8(clip)):
            alpha = np.full((*pixels.shape[:2], 1), 255, np.uint8)
            save_image(folder / f"rgba_{i:05d}.png", np.concatenate((pixels, alpha), -1))
            scaled = np.rint((distances[i] - span[0]) / (span[1] - span[0]) * 65535).astype(np.uint16)
            save_image(folder / f"depth_{i:05d}.tiff", scaled if quantised else distances[i].astype(np.float32))
            if clip.instances is not None:
                palette = Image.fromarray(clip.instances[i].numpy().astype(np.uint8), "P")
                palette.putpalette(np.random.default_rng(0).integers(0, 256, 768, np.uint8).tobytes())
                palette.save(folder / f"segmentation_{i:05d}.png")
        about = {"depth_range": span, "num_frames": len(clip), "resolution": [clip.depth.shape[2], clip.depth.shape[1]]}
        stored = {"metadata": about, "camera": camera(clip), "instances": list((objects or {}).get(name, ()))}
        (folder / "metadata.json").write_text(json.dumps(stored))
        if clip.tracks is not None and clip.tracks_visible is not None:
            np.save(folder / "tracks.npy", clip.tracks.double().numpy().swapaxes(0, 1))
            np.save(folder / "track_masks.npy", clip.tracks_visible.numpy().swapaxes(0, 1))


def distance(clip: Clip) -> np.ndarray:
    """Length of the ray to each pixel's point, float64 (S, H, W)."""
    K = clip.K[0].double().numpy()
    _, height, width = clip.depth.shape
    u, v = np.meshgrid(np.arange(width), np.arange(height))
    rays = np.stack(((u - K[0, 2]) / K[0, 0], (v - K[1, 2]) / K[1, 1], np.ones_like(u)), -1)
    return clip.depth.double().numpy() * np.linalg.norm(rays, axis=-1)


def camera(clip: Clip) -> dict[str, Any]:
    """World from camera: the OpenGL camera looks along -z with y up."""
    K, width = clip.K[0].double().numpy(), clip.depth.shape[2]
    world_from_cam = np.linalg.inv(poses_4x4(clip)) @ np.diag([1.0, -1.0, -1.0, 1.0])
    return {
        "field_of_view": 2 * float(np.arctan2(width / 2, K[0, 0])),
        "focal_length": 32.0 * float(K[0, 0]) / width,
        "sensor_width": 32.0,
        "positions": world_from_cam[:, :3, 3].tolist(),
        "quaternions": wxyz(world_from_cam[:, :3, :3]),
    }


def objects_of(scene: Scene) -> list[dict[str, Any]]:
    """Positions and quaternions of the instances 1, 2, ... of a world of rigid bodies."""
    instances = []
    for label in range(1, int(scene.instance.max()) + 1):
        parts = (scene.instance == label).nonzero()[:, 0]
        if len(parts) == 0:
            instances.append({"asset_id": "nothing", "positions": [], "quaternions": []})
            continue
        poses = scene.world_from_local[:, int(parts[0])].numpy()
        turns = np.stack([polar(pose[:, :3])[0] for pose in poses])
        turns *= np.sign(np.linalg.det(turns))[:, None, None]
        instances.append({"asset_id": f"{label}", "positions": poses[:, :, 3].tolist(), "quaternions": wxyz(turns)})
    return instances


def wxyz(rotations: np.ndarray) -> list[list[float]]:
    """Quaternions in the order w, x, y, z."""
    return Rotation.from_matrix(rotations).as_quat()[:, [3, 0, 1, 2]].tolist()
