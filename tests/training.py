"""What the training tests share: a network of the smallest size, a few clips, and runs of a few steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import torch

from page4d.model import PAGE4DConfig
from page4d.schema import Clip, UserError
from page4d.train.batch import TrainBatch, stack
from page4d.train.loop import Trainer
from page4d.train.settings import AidConfig, Settings, TrainerConfig
from page4d.train.validation import Validation
from page4d.world import split_clip

MICRO = PAGE4DConfig(
    img_size=16,
    patch_size=8,
    embed_dim=16,
    depth=4,
    num_heads=2,
    patch_embed="conv",
    mask_source=1,
    masked_pairs=(2,),
    dpt_features=8,
    dpt_channels=(8, 8, 8, 8),
    dpt_pairs=(0, 1, 2, 3),
    camera_heads=2,
    camera_trunk_depth=1,
    enable_track=False,
)
TRAINER = TrainerConfig(
    max_steps=6,
    device="cpu",
    workers=0,
    log_every=1,
    save_every=2,
    validate_every=0,
    image_every=0,
    progress=False,
    tensorboard=False,
)


@dataclass(frozen=True)
class ClipSource:
    """Batches from a list of clips or any dataset of them, in an order drawn anew each pass from the seed.

    Raises:  UserError if there are fewer clips than a batch needs.
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


@cache
def clips(number: int = 8, frames: int = 3) -> tuple[Clip, ...]:
    """Moving clips of 16 x 16 pixels."""
    return tuple(split_clip("dynamic-train", i, height=16, width=16, frames=frames) for i in range(number))


def settings(aid: bool = False, **trainer: Any) -> Settings:
    """Settings of a short run on one process."""
    return Settings(trainer=replace(TRAINER, **trainer), aid=AidConfig(enabled=aid, width=8))


def make_trainer(
    folder: Path, chosen: Settings | None = None, model: PAGE4DConfig = MICRO, batch_size: int = 2, **more: Any
) -> Trainer:
    """A trainer over the shared clips."""
    source = more.pop("source", None) or ClipSource(clips(), batch_size, seed=3)
    validation = Validation(ClipSource(clips(), 4, shuffle=False, label="little"), 2)
    validations = more.pop("validations", (validation,))
    return Trainer(chosen or settings(), model, source, validations, folder, more.pop("config", {"note": "test"}))
