"""Where batches come from. Batch number i is a pure function of i, so a resumed run sees what an unbroken one saw."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any, Literal, Protocol

import numpy as np
import torch

from page4d.data.mixing import Mix
from page4d.schema import UserError
from page4d.settings import check_values
from page4d.train.batch import TrainBatch, stack
from page4d.train.schedules import ramp, stairs
from page4d.world import Tables, WorldConfig, render_tables, scene_tables, split_config, split_seeds

RENDERED = ("images", "depth", "cam_from_world", "K", "moving", "flow")
FRAMES_SEED, SPLIT_SEED = 2026, 1867


class Delivery(Protocol):
    """A batch on its way: what a worker hands over and `to` brings to the training device, made or still to be made."""

    @property
    def names(self) -> tuple[str, ...]:
        """What its clips are called, for messages."""
        ...

    def to(self, device: torch.device | str) -> TrainBatch:
        """The batch itself, on a device."""
        ...


class Source(Protocol):
    """Anything that gives batches by number."""

    @property
    def name(self) -> str:
        """The data set's name, as it appears in logs."""
        ...

    def batch(self, index: int, iteration: int) -> Delivery:
        """Batch `index` of the run, seen in iteration `iteration`; the same arguments give the same batch."""
        ...


@dataclass(frozen=True)
class DrawnBatch:
    """Scenes that are drawn and not rendered yet: small enough to travel, rendered where they arrive."""

    tables: Tables
    names: tuple[str, ...]
    dataset: str

    def to(self, device: torch.device | str) -> TrainBatch:
        """Render on a device."""
        done = render_tables(self.tables.to(device))
        tensors = {name: getattr(done, name) for name in RENDERED}
        return TrainBatch(**tensors, names=self.names, dataset=self.dataset)


@dataclass(frozen=True)
class Curriculum:
    """How a synthetic run gets harder; steps are iterations, empty = the world's own setting throughout.

    Note:    frames and batch_size are stairs of [step, value]; camera_speed, moving_share, body_speed and
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
                changes[name] = _scale(getattr(config, name), ramp(iteration, points))
        return replace(config, **changes)


def _scale(value: float | tuple[float, float], factor: float) -> float | tuple[float, float]:
    return value * factor if isinstance(value, (int, float)) else (value[0] * factor, value[1] * factor)


@dataclass(frozen=True)
class Lengths:
    """Clips of another number of frames in each batch, always about as many pictures: `pictures // frames` clips.

    Note:  the number is drawn from `shortest` to `longest` by the batch number alone; each is as likely as another.
    """

    shortest: int
    longest: int
    pictures: int

    def __post_init__(self) -> None:
        if not 1 <= self.shortest <= self.longest <= self.pictures:
            raise UserError(
                f"data.frames is [{self.shortest}, {self.longest}] with {self.pictures} pictures in a batch; expected "
                "1 <= shortest <= longest <= data.batch_size x data.world.frames"
            )

    @property
    def most_clips(self) -> int:
        """Clips of the batch with the shortest clips."""
        return self.pictures // self.shortest

    def frames(self, index: int) -> int:
        """Frames of the clips of batch `index`."""
        drawn = np.random.default_rng((FRAMES_SEED, index)).integers(self.shortest, self.longest, endpoint=True)
        return int(drawn)


@dataclass(frozen=True)
class SyntheticSource:
    """Batches of the synthetic world's split; no scene is ever seen twice unless `clips` bounds them.

    Note:    first is the index of the first seed in the split; clips, if not 0, is how many seeds there are before
             they come round again; keep holds batches in memory for when they do; device is where the rendering runs:
             "cpu" renders at once, in the worker; "auto" only draws the scenes there and renders on the device that
             trains; lengths, if given, draws the number of frames for each batch.
    """

    split: str
    world: WorldConfig
    batch_size: int
    curriculum: Curriculum = Curriculum()
    first: int = 0
    clips: int = 0
    keep: bool = False
    device: Literal["cpu", "auto"] = "cpu"
    lengths: Lengths | None = None
    kept: dict[Any, Delivery] = field(default_factory=dict, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        split_config(self.split)
        if self.batch_size < 1:
            raise UserError(f"data.batch_size is {self.batch_size}; expected at least 1")
        if self.keep and not self.clips:
            raise UserError("data.keep holds batches that come again; with data.clips=0 none does")
        check_values(self, "data.")
        if self.lengths and (self.curriculum.frames or self.curriculum.batch_size):
            raise UserError("data.frames draws the frames of each batch; leave curriculum.frames and batch_size empty")

    @property
    def name(self) -> str:
        """The split's name."""
        return self.split

    def batch(self, index: int, iteration: int) -> Delivery:
        """Batch `index` with the curriculum of `iteration`, rendered or drawn."""
        numbers, world = self._choice(index, iteration)
        if not self.keep:
            return self._make(numbers, world)
        if (numbers, world) not in self.kept:
            self.kept[numbers, world] = self._make(numbers, world)
        return self.kept[numbers, world]

    def _choice(self, index: int, iteration: int) -> tuple[tuple[int, ...], WorldConfig]:
        """The clips of a batch by number, and the world they stand in."""
        world = self.curriculum.world(self.world, iteration)
        if self.lengths is not None:
            world = replace(world, frames=self.lengths.frames(index))
            size, largest = self.lengths.pictures // world.frames, self.lengths.most_clips
        else:
            stages = self.curriculum.batch_size or ((0, self.batch_size),)
            size, largest = int(stairs(iteration, stages)), max(int(value) for _, value in stages)
        # Seeds are spaced by the largest batch, so that a change of batch size never repeats one.
        wanted = range(index * largest, index * largest + size)
        return tuple(i % self.clips if self.clips else i for i in wanted), world

    def _make(self, numbers: tuple[int, ...], world: WorldConfig) -> Delivery:
        seeds = [split_seeds(self.split, 1, self.first + i)[0] for i in numbers]
        names = tuple(f"{self.split}-{i:06d}" for i in numbers)
        drawn = DrawnBatch(scene_tables(seeds, world), names, self.split)
        return drawn if self.device == "auto" else drawn.to("cpu")


@dataclass(frozen=True)
class SplitMix:
    """Batches of several splits: each whole batch from one, which the batch number draws by weight.

    Note:    every source numbers its own scenes, and splits share none, so nothing comes twice.
    """

    sources: tuple[SyntheticSource, ...]
    weights: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(self.sources) != len(self.weights) or min(self.weights) < 0 or sum(self.weights) <= 0:
            raise UserError(f"data.mix has shares {self.weights}; expected none below 0 and together at most 1")

    @property
    def name(self) -> str:
        """The split that most batches come from."""
        return self.sources[int(np.argmax(self.weights))].name

    def batch(self, index: int, iteration: int) -> Delivery:
        """Batch `index`, from the split that the number draws."""
        shares = np.array(self.weights) / sum(self.weights)
        which = int(np.random.default_rng((SPLIT_SEED, index)).choice(len(shares), p=shares))
        return self.sources[which].batch(index, iteration)


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
