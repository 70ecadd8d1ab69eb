"""Spring: disparity in pixels of the image on a grid of twice its size, cameras in text rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np

from page4d.schema import Clip
from page4d.world import Scene
from writers.scene import images_u8, poses_4x4, save_image

BASELINE = 0.065


def write(root: Path, clips: Mapping[str, Clip], right: Mapping[str, Clip] | None = None) -> None:
    """Write sequences 0001, ...; cam_data belongs to the left camera also where the right eye's clip is given."""
    for name, clip in clips.items():
        folder = root / "train" / name
        _eye(folder, clip, "left")
        if right is not None:
            _eye(folder, right[name], "right")
        (folder / "cam_data").mkdir()
        rows = [[K[0, 0], K[1, 1], K[0, 2], K[1, 2]] for K in clip.K.double().numpy()]
        np.savetxt(folder / "cam_data" / "intrinsics.txt", rows, fmt="%.9f")
        np.savetxt(folder / "cam_data" / "extrinsics.txt", poses_4x4(clip).reshape(len(clip), 16), fmt="%.9f")
        np.savetxt(folder / "cam_data" / "focaldistance.txt", np.ones(len(clip)))


def _eye(folder: Path, clip: Clip, eye: str) -> None:
    def place(kind: str, i: int, suffix: str) -> Path:
        path = folder / f"{kind}_{eye}" / f"{Path(kind).name}_{eye}_{i + 1:04d}.{suffix}"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    depth = clip.depth.double().numpy()
    for i, pixels in enumerate(images_u8(clip)):
        save_image(place("frame", i, "png"), pixels)
        sky = depth[i] == 0
        # Where there is sky, the file has a far disparity: only the sky map says that it is nothing.
        disparity = BASELINE * float(clip.K[i, 0, 0]) / np.where(sky, 1e4, depth[i])
        with h5py.File(place("disp1", i, "dsp5"), "w") as file:
            file.create_dataset("disparity", data=finer(disparity).astype(np.float32), compression="gzip")
        save_image(place("maps/skymap", i, "png"), _mask(finer(sky)))
        if clip.moving is not None:
            kind = "maps/rigidmap_FW" if i < len(clip) - 1 else "maps/rigidmap_BW"
            save_image(place(kind, i, "png"), _mask(finer(clip.moving[i].numpy())))


def finer(values: np.ndarray) -> np.ndarray:
    """(2 H, 2 W): each pixel's own value at its first sample, the neighbours' values at the samples in between."""
    fine = values.repeat(2, 0).repeat(2, 1)
    fine[1:-1:2] = fine[2::2]
    fine[:, 1:-1:2] = fine[:, 2::2]
    return fine


def _mask(values: np.ndarray) -> np.ndarray:
    return np.where(values, 255, 0).astype(np.uint8)


def right_eye(scene: Scene) -> Scene:
    """The scene seen 65 mm further to the right."""
    poses = scene.cam_from_world.clone()
    poses[:, 0, 3] -= BASELINE
    return replace(scene, cam_from_world=poses)
