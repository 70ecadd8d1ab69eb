"""Does the mask help? The variants of the ablation, examined on sequences that no run has seen."""

from __future__ import annotations

from dataclasses import dataclass, field

from page4d.evaluate.exam import Exam
from page4d.schema import UserError


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
