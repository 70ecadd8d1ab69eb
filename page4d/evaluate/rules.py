"""What one scoring is asked for, and what ends it for a single sequence."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from page4d.evaluate.benchmark import Benchmark
from page4d.evaluate.protocol import Protocol


@dataclass(frozen=True)
class Rules:
    """What to score and how; `files` is where trajectories and their reports go (None = nowhere)."""

    benchmark: Benchmark
    protocol: Protocol
    align: str = "scale"
    files: Path | None = None
    legacy_quaternion_order: bool = False


class UnscorableError(Exception):
    """One sequence cannot be scored for what its prediction is, not for a mistake of the user."""
