"""Which frames of a film or of pictures are taken: by time, by number, or spread evenly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from page4d.schema import UserError


@dataclass(frozen=True)
class FrameSelection:
    """Which frames are taken, in this order: between two times, every n-th, so many a second, and then at most so many.

    Units:   start_s and end_s in seconds of the frames' times, which a film counts from its first frame.
    Note:    `max_frames` takes the first, `spread` so many from the first to the last at even distances.
    Raises:  UserError for a number that means nothing, or two that contradict each other.
    """

    fps: float | None = None
    max_frames: int | None = None
    every: int = 1
    spread: int | None = None
    start_s: float | None = None
    end_s: float | None = None

    def __post_init__(self) -> None:
        if self.fps is not None and not 0 < self.fps < float("inf"):
            raise UserError(f"fps is {self.fps}, expected a positive number")
        for name in ("max_frames", "every", "spread"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UserError(f"{name} is {value}, expected at least 1")
        if self.spread is not None and self.max_frames is not None:
            raise UserError(f"spread {self.spread} and max_frames {self.max_frames} both count frames; give one")
        start, end = self.start_s or 0.0, float("inf") if self.end_s is None else self.end_s
        if not 0 <= start <= end:
            raise UserError(f"start {self.start_s} and end {self.end_s} s enclose nothing; expected 0 <= start <= end")

    @property
    def by_time(self) -> bool:
        """Whether it takes times to select."""
        return not (self.fps is None and self.start_s is None and self.end_s is None)

    def words(self) -> str:
        """The selection as it was given, for messages."""
        given = {"start": self.start_s, "end": self.end_s, "fps": self.fps, "spread": self.spread}
        return ", ".join(f"{name} {value:g}" for name, value in given.items() if value is not None) or "all of them"

    def indices(self, count: int, times_s: Sequence[float] | None = None) -> list[int]:
        """Which of `count` frames are taken.

        Note:    times of pictures may start anywhere; start and end mean these times themselves.
        Raises:  UserError if nothing is left.
        """
        chosen = list(range(count))
        if times_s is not None:
            start, end = self.start_s or 0.0, float("inf") if self.end_s is None else self.end_s
            first = float("-inf") if self.start_s is None else start
            chosen = [i for i in chosen if first <= times_s[i] <= end]
        chosen = chosen[:: self.every]
        if self.fps is not None and times_s is not None:
            due = Due(self.fps)
            chosen = [i for i in chosen if due.reached(times_s[i])]
        if self.spread is not None and self.spread < len(chosen):
            places = np.linspace(0, len(chosen) - 1, self.spread)
            chosen = [chosen[round(place)] for place in places]
        if not chosen:
            raise UserError(f"none of {count} frames is left with {self.words()}")
        return chosen[: self.max_frames]


class Due:
    """When the next frame is due: 1 / fps after the last one was, or after a pause 1 / fps after the last frame itself.

    Note:    in an even film frames stay in step with their due times, so that a rate which does not divide the film's
             is kept on average. A frame that comes more than half an interval late ends a pause: to stay in step would
             be to take all frames behind it until the lost ones are made good. `tick_s` is the grain of the film's
             clock, by which times are rounded.
    """

    def __init__(self, fps: float | None, tick_s: float = 1e-6) -> None:
        self._step = 0.0 if fps is None else 1 / fps
        self._slack = min(max(tick_s, 1e-6), self._step / 4)
        self._due = float("-inf")

    def reached(self, time_s: float) -> bool:
        """Whether a frame of this time is due; if so, it is taken to be kept."""
        if self._step == 0:
            return True
        late = time_s - self._due
        if late < -self._slack:
            return False
        self._due = time_s + self._step if late > self._step / 2 else self._due + self._step
        return True
