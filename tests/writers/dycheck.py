"""DyCheck iPhone: PNG, npy depth and JSON cameras in the Nerfies form."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from page4d.schema import Clip
from writers.scene import images_u8, poses_4x4, save_image


def write(root: Path, clips: Mapping[str, Clip], channel: bool = True) -> None:
    """Write scenes with 1x and 2x (every second pixel of 1x averaged) images; frame i is time i of camera 0."""
    for name, clip in clips.items():
        scene = root / name
        for folder in ("rgb/1x", "rgb/2x", "depth/1x", "depth/2x", "camera"):
            (scene / folder).mkdir(parents=True, exist_ok=True)
        for i, (pixels, pose) in enumerate(zip(images_u8(clip), poses_4x4(clip), strict=True)):
            stem, depth = f"0_{i:05d}", clip.depth[i].numpy()
            half = pixels.reshape(pixels.shape[0] // 2, 2, -1, 2, 3).mean((1, 3)).round().astype(np.uint8)
            save_image(scene / "rgb/1x" / f"{stem}.png", pixels)
            save_image(scene / "rgb/2x" / f"{stem}.png", half)
            np.save(scene / "depth/1x" / f"{stem}.npy", depth[..., None] if channel else depth)
            np.save(scene / "depth/2x" / f"{stem}.npy", depth[::2, ::2, None])
            (scene / "camera" / f"{stem}.json").write_text(json.dumps(camera(clip, i, pose)))
        # The fixed test cameras have images and cameras, but no depth.
        save_image(scene / "rgb/1x" / "1_00000.png", images_u8(clip)[0])
        save_image(scene / "rgb/2x" / "1_00000.png", images_u8(clip)[0][::2, ::2])
        (scene / "camera" / "1_00000.json").write_text(json.dumps(camera(clip, 0, poses_4x4(clip)[0])))


def camera(clip: Clip, i: int, pose: np.ndarray) -> dict[str, object]:
    """orientation is the world-to-camera rotation, position the camera's centre; pixels start at the image's corner."""
    K = clip.K[i].double().numpy()
    _, height, width = clip.depth.shape
    return {
        "focal_length": K[0, 0],
        "image_size": [width, height],
        "orientation": pose[:3, :3].tolist(),
        "pixel_aspect_ratio": K[1, 1] / K[0, 0],
        "position": (-pose[:3, :3].T @ pose[:3, 3]).tolist(),
        "principal_point": (K[:2, 2] + 0.5).tolist(),
        "radial_distortion": [0.0, 0.0, 0.0],
        "skew": 0.0,
        "tangential_distortion": [0.0, 0.0],
    }
