"""Does the mask help? The variants of the ablation, examined on sequences that no run has seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from page4d.evaluate.exam_results import write_result
from page4d.inference import resolve_device
from page4d.model import PAGE4D
from page4d.schema import UserError
from page4d.train.batch import given_mask
from page4d.train.settings import AidConfig
from page4d.train.sources import SyntheticSource
from page4d.train.validation import score_rows
from page4d.world import WORLD_VERSION, split_config


@dataclass(frozen=True)
class Exam:
    """What every network is examined on: the first `sequences` clips of a split.

    Fields:  height and width must be what the networks were trained with, or the exam measures that, too. world is the
             version of the synthetic world: a stored result of another one was examined on other scenes.
    """

    split: str = "dynamic-test"
    sequences: int = 512
    frames: int = 4
    height: int = 112
    width: int = 112
    batch_size: int = 64
    world: int = WORLD_VERSION

    def __post_init__(self) -> None:
        if self.sequences < self.batch_size or self.sequences % self.batch_size:
            raise UserError(f"exam.sequences is {self.sequences}, needed a multiple of batch_size {self.batch_size}")

    def source(self) -> SyntheticSource:
        """The clips."""
        world = split_config(self.split, frames=self.frames, height=self.height, width=self.width, version=self.world)
        return SyntheticSource(self.split, world, self.batch_size, device="auto")


@dataclass(frozen=True)
class Variant:
    """One arm of the study: weights as they are, or an experiment that makes them.

    Note:    true_mask examines the arm with the mask that true motion makes, as it was trained.
    """

    label: str
    experiment: str | None = None
    weights: str | None = None
    overrides: tuple[str, ...] = ()
    true_mask: bool = False

    def __post_init__(self) -> None:
        if (self.experiment is None) == (self.weights is None):
            raise UserError(f"study variant {self.label!r}: give an experiment or weights, not both, not neither")


@dataclass(frozen=True)
class StudyConfig:
    """All arms, the seeds that each trained arm is run with, and where results go. `train` changes every run."""

    variants: dict[str, Variant]
    exam: Exam = field(default_factory=Exam)
    seeds: tuple[int, ...] = (0,)
    runs: str = "runs/study"
    results: str = "book/results/study"
    train: tuple[str, ...] = ()


def examine(weights: str | Path, exam: Exam, path: Path, true_mask: bool = False, **about: Any) -> dict[str, Any]:
    """Score stored weights on an exam and store the result; returns it.

    Errors:  UserError for weights that do not load or cannot take images of the exam's size.
    """
    model = PAGE4D.from_pretrained(weights)
    mask = partial(given_mask, config=AidConfig(true_mask=true_mask), patch=model.config.patch_size)
    rows = score_rows(model, exam.source(), exam.sequences // exam.batch_size, resolve_device(), mask)
    values = {
        "world": exam.world,
        "split": exam.split,
        "frames": exam.frames,
        "height": exam.height,
        "width": exam.width,
    }
    return write_result(path, model.cpu(), rows, **values, **about)
