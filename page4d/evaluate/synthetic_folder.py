"""The benchmark that needs no download: scenes of the synthetic world, written in MPI Sintel's layout."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from page4d import world
from page4d.io.checksums import sha256_of
from page4d.io.depth_formats import write_cam, write_dpt, write_flo
from page4d.schema import Clip, UserError, atomic_write

TRACK_SPACING_PX = 4
LAYOUT = 3
"""Counts up with every change of what is written; folders of another layout are left alone."""


@dataclass(frozen=True)
class SyntheticSettings:
    """Which scenes: the first `sequences` of a split, with fields of its WorldConfig replaced by `world`."""

    split: str = "dynamic-test"
    sequences: int = 8
    world: Mapping[str, Any] = field(default_factory=dict)

    def key(self) -> str:
        """A name that changes with every setting, and with the code that draws the world."""
        text = json.dumps(
            [LAYOUT, self.split, self.sequences, dict(self.world), _world_code()], sort_keys=True, default=list
        )
        return sha256_of(text.encode())[:12]


@cache
def _world_code() -> str:
    """Hash of the world's source files: rendered folders of another version must not be taken for this one's."""
    folder = Path(world.__file__).parent
    return sha256_of(b"".join(path.read_bytes() for path in sorted(folder.glob("*.py"))))


def synthetic_root(settings: SyntheticSettings, parent: Path | str) -> Path:
    """Render what is not there yet into `parent/synthetic-<key>` and return that folder.

    Raises:  UserError for settings that the synthetic world refuses.
    """
    if settings.sequences < 1:
        raise UserError(f"synthetic benchmark: {settings.sequences} sequences; expected at least one")
    root = Path(parent) / f"synthetic-{settings.key()}"
    for index in range(settings.sequences):
        name = f"scene_{index:02d}"
        done = root / "training" / "final" / name / ".complete"
        if not done.exists():
            changes = {k: tuple(v) if isinstance(v, list) else v for k, v in settings.world.items()}
            write_sintel_layout(world.split_clip(settings.split, index, **changes), root, name)
            _write_tracks(settings.split, index, changes, root / "training" / "tracks" / f"{name}.npz")
            done.touch()
    return root


def write_sintel_layout(clip: Clip, root: Path, name: str) -> None:
    """One clip as `training/{final,depth,camdata_left,flow,moving}/<name>/frame_0001.*`; frames count from 1.

    Note:    images are rounded to 8 bits; depth (float32), K and poses (float64) are exact.
    """
    folders = {kind: root / "training" / kind / name for kind in ("final", "depth", "camdata_left")}
    folders |= {kind: root / "training" / kind / name for kind in ("flow", "moving") if getattr(clip, kind) is not None}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    pixels = (clip.images * 255).round().clamp(0, 255).byte().permute(0, 2, 3, 1).cpu().numpy()
    poses, K = clip.cam_from_world.double().cpu().numpy(), clip.K.double().cpu().numpy()
    depth = np.where(clip.valid.cpu().numpy(), clip.depth.cpu().numpy(), 0)
    for i in range(len(clip)):
        stem = f"frame_{i + 1:04d}"
        with atomic_write(folders["final"] / f"{stem}.png") as stream:
            Image.fromarray(pixels[i]).save(stream, format="PNG")
        write_dpt(folders["depth"] / f"{stem}.dpt", depth[i])
        write_cam(folders["camdata_left"] / f"{stem}.cam", K[i], poses[i])
        if clip.moving is not None:
            with atomic_write(folders["moving"] / f"{stem}.png") as stream:
                Image.fromarray(clip.moving[i].cpu().numpy().astype(np.uint8) * 255).save(stream, format="PNG")
        if clip.flow is not None and i < len(clip) - 1:
            write_flo(folders["flow"] / f"{stem}.flo", clip.flow[i].cpu().numpy())


def _write_tracks(split: str, index: int, changes: Mapping[str, Any], path: Path) -> None:
    """What a grid of pixels of the first frame shows, followed exactly: xy (S, N, 2), seen (S, N)."""
    (seed,) = world.split_seeds(split, 1, index)
    scene = world.sample_scene(seed, world.split_config(split, **changes))
    steps = slice(TRACK_SPACING_PX // 2, None, TRACK_SPACING_PX)
    grid = torch.stack(
        torch.meshgrid(torch.arange(scene.width)[steps], torch.arange(scene.height)[steps], indexing="xy")
    )
    xy, seen = world.query_tracks(scene, 0, grid.flatten(1).T.double())
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as stream:
        np.savez(stream, xy=xy.numpy(), seen=seen.numpy())
