"""Recordings in plain folders."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation

from page4d.schema import Clip
from writers.scene import images_u8, poses_4x4, save_image


def write(root: Path, clips: Mapping[str, Clip], rows: bool = False) -> None:
    """Write sequences with frame numbers 10, 11, ...; `rows` gives every image its own intrinsics."""
    for name, clip in clips.items():
        folder, world_from_cam = root / name, np.linalg.inv(poses_4x4(clip))
        depth = np.rint(clip.depth.double().numpy() * 1000).astype(np.uint16)
        lines = []
        for i, (pixels, pose) in enumerate(zip(images_u8(clip), world_from_cam, strict=True)):
            save_image(folder / "images" / f"image_{i + 10:03d}.png", pixels)
            save_image(folder / "depth" / f"image_{i + 10:03d}.png", depth[i])
            if clip.moving is not None:
                save_image(folder / "moving" / f"image_{i + 10:03d}.png", np.uint8(255) * clip.moving[i].numpy())
            values = np.concatenate((pose[:3, 3], Rotation.from_matrix(pose[:3, :3]).as_quat()))
            lines.append(f"{i + 10} " + " ".join(f"{value:.9f}" for value in values))
        (folder / "poses.txt").write_text("# number tx ty tz qx qy qz qw\n" + "\n".join(lines))
        cameras = [" ".join(f"{v:.6f}" for v in (K[0, 0], K[1, 1], K[0, 2], K[1, 2])) for K in clip.K.numpy()]
        (folder / "intrinsics.txt").write_text("\n".join(cameras if rows else cameras[:1]))
