"""Clips of the synthetic world for the writers, and what several of them need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from page4d.geometry import pixel_grid
from page4d.schema import Clip
from page4d.world import Scene, WorldConfig, query_tracks, render_clip, sample_scene

HEIGHT, WIDTH, FRAMES = 48, 64, 8


@lru_cache(maxsize=16)
def room(seed: int = 3, height: int = HEIGHT, width: int = WIDTH, frames: int = FRAMES, **knobs: Any) -> Clip:
    """A closed room (depth everywhere) with fx != fy and an off-centre principal point, so that swaps show."""
    wanted = {"environment": "room", "anisotropy": 0.1, "centre_offset": (0.03, -0.02)} | knobs
    return render_clip(sample_scene(seed, WorldConfig(height=height, width=width, frames=frames, **wanted)))


@lru_cache(maxsize=4)
def outdoors(seed: int = 5, **knobs: Any) -> Clip:
    """An outdoor scene: the sky has depth 0."""
    wanted = {"environment": "outdoor", "height": HEIGHT, "width": WIDTH, "frames": FRAMES} | knobs
    clip = render_clip(sample_scene(seed, WorldConfig(**wanted)))
    assert (clip.depth == 0).any()
    return clip


def symmetric(seed: int = 3, height: int = HEIGHT, width: int = WIDTH, frames: int = FRAMES) -> Clip:
    """A room with square pixels and the principal point at ((W - 1) / 2, (H - 1) / 2), for formats that store a fov."""
    return room(seed, height, width, frames, anisotropy=0.0, centre_offset=(-0.5 / width, -0.5 / height))


def images_u8(clip: Clip) -> NDArray[np.uint8]:
    """Images as a file stores them: uint8 (S, H, W, 3)."""
    return (clip.images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def poses_4x4(clip: Clip) -> NDArray[np.float64]:
    """Camera from world (S, 4, 4) in float64."""
    poses = np.tile(np.eye(4), (len(clip), 1, 1))
    poses[:, :3] = clip.cam_from_world.double().numpy()
    return poses


def save_image(path: Path, pixels: NDArray[Any], **options: Any) -> None:
    """Write an image file with its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)


@dataclass(frozen=True)
class Truth:
    """A clip with tracks, and what of its world a writer of object poses or another camera needs."""

    clip: Clip
    scene: Scene


def tracked(seed: int = 3, spacing: int = 4, **knobs: Any) -> Truth:
    """A room whose points on a grid of frame 0 are followed through all frames, with exact visibility."""
    wanted = {"environment": "room", "height": HEIGHT, "width": WIDTH, "frames": FRAMES} | knobs
    scene = sample_scene(seed, WorldConfig(**wanted))
    pixels = pixel_grid(scene.height, scene.width, scene.K)[spacing // 2 :: spacing, spacing // 2 :: spacing]
    tracks, visible = query_tracks(scene, 0, pixels.reshape(-1, 2))
    return Truth(replace(render_clip(scene), tracks=tracks.float(), tracks_visible=visible), scene)
