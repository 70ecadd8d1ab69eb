"""MPI Sintel: tagged little-endian binaries beside PNGs, frames counted from 1."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from page4d.schema import Clip
from writers.scene import images_u8, poses_4x4, save_image

TAG = np.array([202021.25], "<f4").tobytes()
ARCHIVES = ("MPI-Sintel-training_images", "MPI-Sintel-depth-training-20150305", "MPI-Sintel-training_extras")


def write(root: Path, clips: Mapping[str, Clip], archives: bool = False, quality: str = "final") -> None:
    """Write shots into one tree, or with `archives` into the three official archives' own folders."""
    images, geometry, extras = ((root / name if archives else root) / "training" for name in ARCHIVES)
    for name, clip in clips.items():
        poses = poses_4x4(clip)
        for i, pixels in enumerate(images_u8(clip)):
            stem = f"frame_{i + 1:04d}"
            save_image(images / quality / name / f"{stem}.png", pixels)
            _map(geometry / "depth" / name / f"{stem}.dpt", clip.depth[i].numpy())
            numbers = np.concatenate((clip.K[i].numpy().ravel(), poses[i, :3].ravel())).astype("<f8")
            _bytes(geometry / "camdata_left" / name / f"{stem}.cam", TAG + numbers.tobytes())
            if clip.flow is not None and i < len(clip) - 1:
                _map(extras / "flow" / name / f"{stem}.flo", clip.flow[i].numpy())


def _map(path: Path, values: np.ndarray) -> None:
    size = np.array([values.shape[1], values.shape[0]], "<i4").tobytes()
    _bytes(path, TAG + size + values.astype("<f4").tobytes())


def _bytes(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
