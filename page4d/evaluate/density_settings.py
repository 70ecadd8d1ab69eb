"""Which densities a benchmark is run at; without the pictures that `density` draws, so that settings may name it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from page4d.schema import UserError


@dataclass(frozen=True)
class Density:
    """Which densities: the first so many frames, of every so many-th.

    Note:    all are measured on the same sequences, those that are long enough for the largest that any can hold;
             what no sequence holds is left out.
    """

    frames: tuple[int, ...] = (2, 4, 8, 16, 32)
    every: tuple[int, ...] = (1, 2, 4)

    def __post_init__(self) -> None:
        if not self.frames or not self.every or min(*self.frames, *self.every) < 1:
            raise UserError(f"density: frames {self.frames}, every {self.every}; expected whole numbers of 1 or more")

    def of(self, lengths: Mapping[str, int]) -> tuple[list[tuple[int, int]], tuple[str, ...]]:
        """The settings (frames, every) that the sequences hold, and the names of those that hold all of these.

        Raises:  UserError if there is none.
        """
        pairs = [(count, step) for step in self.every for count in self.frames]
        longest = max(lengths.values())
        held = [pair for pair in pairs if span(*pair) <= longest]
        if not held:
            raise UserError(f"the longest sequence has {longest} frames; none of the densities {pairs} fits into it")
        most = max(span(*pair) for pair in held)
        return held, tuple(name for name, length in lengths.items() if length >= most)


def span(frames: int, every: int) -> int:
    """How many frames of a video so many frames of every so many-th reach over."""
    return (frames - 1) * every + 1
