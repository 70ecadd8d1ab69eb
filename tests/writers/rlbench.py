"""RLBench: official demonstrations (24-bit depth, pickled observations), and exported clips."""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from page4d.schema import Clip
from writers.scene import images_u8, poses_4x4, save_image

NEAR, FAR = 0.01, 12.0


def write(root: Path, clips: Mapping[str, Clip], camera: str = "front") -> None:
    """Write demonstrations; names are `<task>/variation0/episodes/episode0`. Depth 0 becomes the far plane."""
    for name, clip in clips.items():
        folder = root / name
        for i, pixels in enumerate(images_u8(clip)):
            save_image(folder / f"{camera}_rgb" / f"{i}.png", pixels)
            depth = clip.depth[i].double().numpy()
            share = (np.where(depth > 0, depth, FAR) - NEAR) / (FAR - NEAR)
            save_image(folder / f"{camera}_depth" / f"{i}.png", packed(np.rint(share * (2**24 - 1)), "big"))
            if clip.instances is not None:
                save_image(folder / f"{camera}_mask" / f"{i}.png", packed(clip.instances[i].numpy() + 300, "little"))
        (folder / "low_dim_obs.pkl").write_bytes(pickled([misc(clip, i, camera) for i in range(len(clip))]))


def packed(values: np.ndarray, order: str) -> np.ndarray:
    """Whole numbers below 2^24 as three bytes: depth has the high byte in red, handles the low byte."""
    shifts = (16, 8, 0) if order == "big" else (0, 8, 16)
    return np.stack([values.astype(np.int64) >> shift & 255 for shift in shifts], -1).astype(np.uint8)


def from_corner(K: np.ndarray) -> np.ndarray:
    """The simulator's K, whose pixels count from the corner of the first one."""
    return K + np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])


def misc(clip: Clip, i: int, camera: str) -> dict[str, Any]:
    """World from camera of a sensor whose x points left and y up, with negative focal lengths to match."""
    turned = np.diag([-1.0, -1.0, 1.0, 1.0])
    K = from_corner(clip.K[i].double().numpy()) @ turned[:3, :3]
    return {
        f"{camera}_camera_extrinsics": np.linalg.inv(poses_4x4(clip)[i]) @ turned,
        f"{camera}_camera_intrinsics": K,
        f"{camera}_camera_near": NEAR,
        f"{camera}_camera_far": np.float64(FAR),
        "variation_index": 0,
    }


def pickled(miscs: list[dict[str, Any]]) -> bytes:
    """A pickle as RLBench writes it: Demo and Observation objects of its own modules."""
    modules = {
        name: ModuleType(name) for name in ("rlbench", "rlbench.demo", "rlbench.backend", "rlbench.backend.observation")
    }
    demo_class = type("Demo", (), {"__module__": "rlbench.demo"})
    observation_class = type("Observation", (), {"__module__": "rlbench.backend.observation"})
    modules["rlbench.demo"].Demo = demo_class  # type: ignore[attr-defined]
    modules["rlbench.backend.observation"].Observation = observation_class  # type: ignore[attr-defined]
    demo = demo_class()
    demo._observations, demo.random_seed = [], ("MT19937", np.arange(4, dtype=np.uint32), 3)
    for values in miscs:
        observation = observation_class()
        observation.misc, observation.joint_positions, observation.front_rgb = values, np.zeros(7), None
        demo._observations.append(observation)
    sys.modules.update(modules)
    try:
        return pickle.dumps(demo)
    finally:
        for name in modules:
            del sys.modules[name]


def write_exported(root: Path, group: str, clips: Mapping[str, Clip], overhead: Mapping[str, Clip]) -> None:
    """Write a group of clips seen by two still cameras, whose poses are those of the first frames."""
    params = {}
    for camera, views in (("front", clips), ("overhead", overhead)):
        for name, clip in views.items():
            for i, pixels in enumerate(images_u8(clip)):
                folder = root / group / name
                save_image(folder / f"{camera}_rgb_frames" / f"frame_{i:03d}.jpg", pixels, quality=100, subsampling=0)
                (folder / f"{camera}_depth_npy").mkdir(exist_ok=True)
                np.savez(folder / f"{camera}_depth_npy" / f"depth_{i}.npz", clip.depth[i].numpy())
            pose, K = poses_4x4(clip)[0], from_corner(clip.K[0].double().numpy())
            params[camera] = {"Extrinsic": pose[:3].tolist(), "Intrinsic": K.tolist()}
    (root / group / "camera_params.json").write_text(json.dumps(params))
