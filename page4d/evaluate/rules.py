"""What one scoring is asked for, and what ends it for a single sequence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from page4d.evaluate.benchmark import Benchmark
from page4d.evaluate.protocol import Protocol
from page4d.schema import UserError
from page4d.settings import check_values

# What the choices beyond the protocol may be; one that is not among them is refused before anything is predicted.
Align = Literal["scale", "scale&shift", "metric"]
MovingOf = Literal["geometric", "model"]
Icp = Literal["point_to_point", "none"]
Followed = Literal["pixels", "tracker", "file"]


@dataclass(frozen=True)
class Rules:
    """What to score and how.

    Note:    `align` is the fit of video depth, `moving` whose mask of what moves is scored: "geometric", or "model" for
             the prediction's own; `icp` is what refines the alignment of surfaces, or "none"; `followed` says how
             points are followed, by "pixels" or by a "tracker"; `files` is where trajectories and their reports go
             (None = nowhere), `folder` where the predictions lie.
    Raises:  UserError for a choice that does not exist.
    """

    benchmark: Benchmark
    protocol: Protocol
    align: Align = "scale"
    moving: MovingOf = "geometric"
    icp: Icp = "point_to_point"
    followed: Followed = "pixels"
    files: Path | None = None
    legacy_quaternion_order: bool = False
    folder: Path | None = None

    def __post_init__(self) -> None:
        check_values(self)

    def chosen(self, choices: Sequence[str]) -> dict[str, str]:
        """The named choices beyond the protocol, as a Scores file says them."""
        return {name: str(getattr(self, name)) for name in choices}

    def without_public(self, why: str) -> None:
        """Refuse every protocol but `standard`, for a task of which no public script exists."""
        if self.protocol.name.split("+")[0] != "standard":
            raise UserError(f"{self.benchmark.name}: {why}; only protocol=standard exists")


class UnscorableError(Exception):
    """One sequence cannot be scored for what its prediction is, not for a mistake of the user."""
