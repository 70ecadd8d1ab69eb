"""Moving scenes with exact truth, drawn from seeds: the stand-in for real data in every test and chapter.

`render_clip(seed)` gives one Clip, `render_batch(seeds, config)` many at once, `split_clip("dynamic-test", 3)` a
clip of a named split. Depth, poses, intrinsics, masks, instances, flow and tracks are analytic, not estimated.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from page4d.geometry import world_points
from page4d.schema import Clip, UserError
from page4d.world.config import WorldConfig
from page4d.world.draw import SEEDS
from page4d.world.render import render
from page4d.world.scenes import Scene, sample_scene
from page4d.world.tables import Tables, tables
from page4d.world.tracks import follow

SEEDS_PER_SPLIT = SEEDS // 8


@dataclass(frozen=True)
class Batch:
    """B clips of one size, rendered together.

    Shapes:  images (B, S, 3, H, W); depth, moving, instances (B, S, H, W); cam_from_world (B, S, 3, 4);
             K (B, S, 3, 3); flow (B, S - 1, H, W, 2); tracks (B, S, N, 2) and tracks_visible (B, S, N) if asked for.
    Units:   as in Clip; depth 0 is sky; the flow of the sky is that of a point at infinity.
    """

    images: Tensor
    depth: Tensor
    cam_from_world: Tensor
    K: Tensor
    moving: Tensor
    instances: Tensor
    flow: Tensor
    seeds: tuple[int, ...]
    tracks: Tensor | None = None
    tracks_visible: Tensor | None = None

    @property
    def world_points(self) -> Tensor:
        """World coordinates of every pixel (B, S, H, W, 3); of no meaning where depth is 0."""
        return world_points(self.depth, self.K, self.cam_from_world)

    def __len__(self) -> int:
        return len(self.seeds)

    def clip(self, index: int) -> Clip:
        """One of the clips."""
        frames = torch.arange(self.images.shape[1], device=self.images.device)
        names = ["images", "depth", "cam_from_world", "K", "moving", "instances", "flow"]
        names += ["tracks", "tracks_visible"] if self.tracks is not None else []
        values = {name: getattr(self, name)[index] for name in names}
        return Clip(**values, frame_numbers=frames, name=f"seed-{self.seeds[index]}", dataset="synthetic")


def _first_pixels(seed: int, height: int, width: int, count: int) -> Tensor:
    """Pixel centres (count, 2) spread over a scene's picture at random, the same for every device."""
    chosen = torch.rand((count, 2), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return (chosen * torch.tensor([width, height])).floor()


def scene_tables(seeds: Sequence[int], config: WorldConfig | None = None, dtype: torch.dtype = torch.float32) -> Tables:
    """All that rendering the scenes of several seeds needs: the CPU's half of `render_batch`.

    Note:    the result pickles and is small, so worker processes can draw scenes while one process renders them on
             a GPU: `render_tables(scene_tables(seeds, config).to("cuda"))`.
    Raises:  UserError if there is no seed.
    """
    if len(seeds) == 0:
        raise UserError("scene_tables: no seeds given; expected at least one")
    return tables([sample_scene(int(seed), config) for seed in seeds], dtype=dtype)


def render_tables(table: Tables, tracks: int = 0) -> Batch:
    """Render tables where they lie, with `tracks` tracks from random pixels of the first frame."""
    done = render(table)
    values = {name: getattr(done, name) for name in ("images", "depth", "moving", "instances", "flow")}
    values |= {"cam_from_world": table.cam_from_world, "K": table.K}
    values = {name: value.unflatten(0, (-1, table.frames)) for name, value in values.items()}
    values["flow"] = values["flow"][:, :-1]
    if tracks:
        xy = torch.stack([_first_pixels(seed, table.height, table.width, tracks) for seed in table.seeds])
        values["tracks"], values["tracks_visible"] = follow(table, 0, xy.to(table.K.device, table.K.dtype))
    return Batch(**values, seeds=table.seeds)


def render_scenes(
    scenes: Sequence[Scene], device: torch.device | str = "cpu", dtype: torch.dtype = torch.float32, tracks: int = 0
) -> Batch:
    """Render scenes of equal size and length together, with `tracks` tracks from random pixels of the first frame.

    Raises:  UserError for no scenes, or scenes of different sizes or lengths.
    """
    shapes = {(s.height, s.width, len(s.times)) for s in scenes}
    if len(shapes) != 1:
        raise UserError(f"render: got scenes of (height, width, frames) {sorted(shapes)}; expected one size for all")
    return render_tables(tables(scenes, device, dtype), tracks)


def render_batch(
    seeds: Sequence[int],
    config: WorldConfig | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    tracks: int = 0,
) -> Batch:
    """The clips of several seeds in one go: much faster than one by one.

    Raises:  UserError if there is no seed.
    """
    return render_tables(scene_tables(seeds, config, dtype).to(device), tracks)


def render_clip(
    scene: Scene | int,
    config: WorldConfig | None = None,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
    tracks: int = 0,
) -> Clip:
    """One scene, or the scene of a seed, as a Clip; `config` is for seeds only.

    Raises:  UserError if a scene comes with a config, which it could not follow.
    """
    if isinstance(scene, Scene):
        if config is not None:
            raise UserError(
                "render_clip: a Scene already has its config; give a seed with a config, or the scene alone"
            )
        return render_scenes([scene], device, dtype, tracks).clip(0)
    return render_batch([scene], config, device, dtype, tracks).clip(0)


def query_tracks(
    scene: Scene, frame: int, xy: Tensor, device: torch.device | str = "cpu", dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """Follow what chosen pixels of one frame show through the whole clip, exactly.

    Shapes:  xy (N, 2) -> tracks (S, N, 2), visible bool (S, N).
    Units:   pixels (x, y), fractions allowed. Hidden and left-the-image points keep their true position.
    Raises:  UserError for a frame that the scene does not have, or pixels of another shape.
    """
    if not 0 <= frame < len(scene.times):
        raise UserError(f"query_tracks: frame {frame} asked; the scene has frames 0 to {len(scene.times) - 1}")
    if xy.ndim != 2 or xy.shape[1] != 2:
        raise UserError(f"query_tracks: xy has shape {tuple(xy.shape)}, needed (N, 2)")
    tracks, visible = follow(tables([scene], device, dtype), frame, xy[None].to(device, dtype))
    return tracks[0], visible[0]


# Weights and results name these splits with WORLD_VERSION: a change of a split, or of what its seeds draw, needs a
# new version. The order gives the seeds, so new splits come last, and there is room for eight (SEEDS_PER_SPLIT). What
# needs no seeds of its own is a split with other settings: split_config("dynamic-test", environment="room").
_DYNAMIC = WorldConfig()
_STATIC = replace(_DYNAMIC, moving_bodies=(0, 0), moving_share=0.0, camera_speed=(0.2, 2.0), tripod_chance=0.0)
_HARD = replace(
    _DYNAMIC,
    moving_bodies=(2, 4),
    moving_share=(0.44, 0.56),
    coherent=True,
    body_speed=(0.5, 1.5),
    camera_speed=(0.2, 2.0),
    tripod_chance=0.0,
)
SPLITS: dict[str, WorldConfig] = {
    "static-train": _STATIC,
    "dynamic-train": _DYNAMIC,
    "dynamic-val": _DYNAMIC,
    "dynamic-test": _DYNAMIC,
    "static-test": _STATIC,
    "dynamic-hard": _HARD,
    "dynamic-hard-train": _HARD,
}


def _split_number(split: str) -> int:
    if split not in SPLITS:
        raise UserError(f"unknown split {split!r}; choose one of {', '.join(SPLITS)}")
    return list(SPLITS).index(split)


def split_config(split: str, **overrides: Any) -> WorldConfig:
    """The WorldConfig of a split, with some fields replaced."""
    _split_number(split)
    return replace(SPLITS[split], **overrides)


def split_seeds(split: str, count: int, start: int = 0) -> list[int]:
    """Seeds `start` to `start + count` of a split; each split owns its own range, so splits cannot share a scene.

    Raises:  UserError for an unknown split or an index outside its 2^29 seeds.
    """
    first = _split_number(split) * SEEDS_PER_SPLIT
    if start < 0 or count < 0 or start + count > SEEDS_PER_SPLIT:
        raise UserError(f"split {split!r}: seeds {start} to {start + count} asked; it has 0 to {SEEDS_PER_SPLIT}")
    return list(range(first + start, first + start + count))


def split_clip(split: str, index: int, **overrides: Any) -> Clip:
    """Clip number `index` of a split; overrides change fields of its WorldConfig, such as height, width, frames."""
    (seed,) = split_seeds(split, 1, index)
    return replace(render_clip(seed, split_config(split, **overrides)), name=f"{split}-{index:06d}")


class SyntheticDataset(Dataset[Clip]):
    """The first `length` clips of a split as a torch Dataset; an item is rendered when it is asked for."""

    def __init__(self, split: str, length: int, **overrides: Any) -> None:
        self.split, self.length, self.overrides = split, length, overrides
        split_seeds(split, length)
        split_config(split, **overrides)

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, index: int) -> Clip:
        if not 0 <= index < self.length:
            raise IndexError(f"clip {index} of {self.length}")
        return split_clip(self.split, index, **self.overrides)
