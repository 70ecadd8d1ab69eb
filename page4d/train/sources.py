"""Where batches come from. Batch number i is a pure function of i, so a resumed run sees what an unbroken one saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import torch

from page4d.data.mixing import Mix
from page4d.schema import Clip, UserError
from page4d.train.batch import TrainBatch, stack
from page4d.train.schedules import ramp, stairs
from page4d.world import WorldConfig, render_batch, split_config, split_seeds


class Source(Protocol):
    """Anything that gives batches by number."""

    @property
    def name(self) -> str:
        """The data set's name, as it appears in logs."""
        ...

    def batch(self, index: int, iteration: int) -> TrainBatch:
        """Batch `index` of the run, seen in iteration `iteration`; the same arguments give the same batch."""
        ...


@dataclass(frozen=True)
class Curriculum:
    """How a synthetic run gets harder; steps are iterations, empty = the world's own setting throughout.

    Fields:  frames and batch_size are stairs of [step, value]; camera_speed, moving_share, body_speed and
             frame_stride are ramps of [step, factor] on the world's ranges, so 0.1 begins with a tenth of the speed.
    """

    frames: tuple[tuple[int, float], ...] = ()
    batch_size: tuple[tuple[int, float], ...] = ()
    camera_speed: tuple[tuple[int, float], ...] = ()
    moving_share: tuple[tuple[int, float], ...] = ()
    body_speed: tuple[tuple[int, float], ...] = ()
    frame_stride: tuple[tuple[int, float], ...] = ()

    def world(self, config: WorldConfig, iteration: int) -> WorldConfig:
        """The world as it is at an iteration."""
        changes: dict[str, Any] = {}
        if self.frames:
            changes["frames"] = int(stairs(iteration, self.frames))
        for name in ("camera_speed", "moving_share", "body_speed", "frame_stride"):
            points = getattr(self, name)
            if points:
                changes[name] = _scaled(getattr(config, name), ramp(iteration, points))
        return replace(config, **changes)


def _scaled(value: float | tuple[float, float], factor: float) -> float | tuple[float, float]:
    return value * factor if isinstance(value, (int, float)) else (value[0] * factor, value[1] * factor)


@dataclass(frozen=True)
class SyntheticSource:
    """Batches of the synthetic world's split; no scene is ever seen twice unless `clips` bounds them.

    Fields:  first is the index of the first seed in the split; clips, if not 0, is how many seeds there are before
             they come round again; keep holds rendered batches in memory for when they do; device is where the
             rendering runs.
    """

    split: str
    world: WorldConfig
    batch_size: int
    curriculum: Curriculum = Curriculum()
    first: int = 0
    clips: int = 0
    keep: bool = False
    device: str = "cpu"
    kept: dict[Any, TrainBatch] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        split_config(self.split)
        if self.batch_size < 1:
            raise UserError(f"data.batch_size is {self.batch_size}, needed at least 1")
        if self.keep and not self.clips:
            raise UserError("data.keep holds batches that come again; with data.clips=0 none does")

    @property
    def name(self) -> str:
        """The split's name."""
        return self.split

    def batch(self, index: int, iteration: int) -> TrainBatch:
        """Render batch `index` with the curriculum of `iteration`."""
        # Seeds are spaced by the largest batch, so that a change of batch size never repeats one.
        sizes = [int(value) for _, value in self.curriculum.batch_size] or [self.batch_size]
        size = int(stairs(iteration, self.curriculum.batch_size)) if self.curriculum.batch_size else self.batch_size
        wanted = range(index * max(sizes), index * max(sizes) + size)
        numbers = tuple(i % self.clips if self.clips else i for i in wanted)
        world = self.curriculum.world(self.world, iteration)
        if not self.keep:
            return self._render(numbers, world)
        if (numbers, world) not in self.kept:
            self.kept[numbers, world] = self._render(numbers, world)
        return self.kept[numbers, world]

    def _render(self, numbers: tuple[int, ...], world: WorldConfig) -> TrainBatch:
        seeds = [split_seeds(self.split, 1, self.first + i)[0] for i in numbers]
        done = render_batch(seeds, world, self.device)
        tensors = {n: getattr(done, n) for n in ("images", "depth", "cam_from_world", "K", "moving", "flow")}
        return TrainBatch(**tensors, names=tuple(f"{self.split}-{i:06d}" for i in numbers), dataset=self.split)


@dataclass(frozen=True)
class ClipSource:
    """Batches from a list of clips or any dataset of them, in an order drawn anew each pass from the seed.

    Errors:  UserError if there are fewer clips than a batch needs.
    """

    clips: Sequence[Clip]
    batch_size: int
    seed: int = 0
    shuffle: bool = True
    label: str = "clips"

    def __post_init__(self) -> None:
        if len(self.clips) < self.batch_size or self.batch_size < 1:
            raise UserError(
                f"data {self.label}: {len(self.clips)} clips for batches of {self.batch_size}; "
                "lower data.batch_size (at least 1) or add clips"
            )

    @property
    def name(self) -> str:
        """The label it was given."""
        return self.label

    def batch(self, index: int, iteration: int) -> TrainBatch:
        """Batch `index`; passes over the data follow one another without a gap."""
        del iteration
        per_pass = len(self.clips) // self.batch_size
        lap, within = divmod(index, per_pass)
        order = list(range(len(self.clips)))
        if self.shuffle:
            generator = torch.Generator().manual_seed(self.seed * 1_000_003 + lap)
            order = torch.randperm(len(order), generator=generator).tolist()
        chosen = order[within * self.batch_size : (within + 1) * self.batch_size]
        return replace(stack([self.clips[i] for i in chosen]), dataset=self.label)


@dataclass(frozen=True)
class MixSource:
    """Batches of real datasets mixed by weight; the mix itself decides shapes and order."""

    mix: Mix

    @property
    def name(self) -> str:
        """The mix's name."""
        return self.mix.name

    def batch(self, index: int, iteration: int) -> TrainBatch:
        """The clips of batch `index`, stacked."""
        return replace(stack(self.mix.clips(index, iteration)), dataset=self.mix.name)
