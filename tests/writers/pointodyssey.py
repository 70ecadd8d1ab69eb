"""PointOdyssey: JPEG, depth in 65535ths of a kilometre, one npz of cameras and trajectories."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from page4d.evaluate.track_truth import lifted
from page4d.schema import Clip
from writers.scene import images_u8, poses_4x4, save_image


def write(root: Path, clips: Mapping[str, Clip], split: str = "train") -> None:
    """Write sequences; where the clip has no depth (sky) the file has 65535, as the renderer saturates there."""
    for name, clip in clips.items():
        folder = root / split / name
        depth = np.rint(clip.depth.numpy().astype(np.float64) / 1000 * 65535)
        depth = np.where(clip.depth.numpy() > 0, depth, 65535).astype(np.uint16)
        for i, pixels in enumerate(images_u8(clip)):
            save_image(folder / "rgbs" / f"rgb_{i:05d}.jpg", pixels, quality=100, subsampling=0)
            save_image(folder / "depths" / f"depth_{i:05d}.png", depth[i])
            if clip.instances is not None:
                colour = np.stack([clip.instances[i].numpy() * k % 256 for k in (1, 40, 90)], -1).astype(np.uint8)
                save_image(folder / "masks" / f"mask_{i:05d}.png", colour)
        np.savez(folder / "anno.npz", **annotation(clip))
        (folder / "scene_info.json").write_text("{}")


def annotation(clip: Clip) -> dict[str, np.ndarray]:
    """intrinsics, extrinsics and trajectories; a clip without tracks gets one point that is never valid."""
    count = len(clip)
    if clip.tracks is None or clip.tracks_visible is None:
        xy, seen = np.full((count, 1, 2), np.inf, np.float32), np.zeros((count, 1), bool)
    else:
        xy, seen = clip.tracks.numpy(), clip.tracks_visible.numpy()
    return {
        "intrinsics": clip.K.numpy(),
        "extrinsics": poses_4x4(clip).astype(np.float32),
        "trajs_2d": xy,
        "trajs_3d": world_points(clip, xy.shape[1]),
        "valids": np.isfinite(xy).all(-1),
        "visibs": seen,
    }


def world_points(clip: Clip, count: int) -> np.ndarray:
    """Where the points truly are, by the clip's unrounded depth; without tracks one point that is nowhere."""
    if clip.tracks is None:
        return np.full((len(clip), count, 3), np.inf, np.float32)
    return lifted(clip).points
