"""Which frames make a clip, and which shape a batch has: pure functions of a seed and a number.

Nothing here keeps state. Batch shapes depend on (seed, iteration) alone, so all processes of a step agree on them;
clips depend on (seed, number), so they do not depend on how many workers or processes share the numbers.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from page4d.io.fitting import RELEASED_PATCH, RELEASED_SIZE
from page4d.schema import UserError

# No machine holds larger batches; a number beyond these is a slip of the keyboard.
MAX_IMAGES, MAX_SIDE, MAX_ASPECT = 65_536, 16_384, 10.0


class Window(NamedTuple):
    """Frame numbers of a clip in increasing order; `complete` is False if the last had to be repeated."""

    frames: tuple[int, ...]
    complete: bool


def window(numbers: Sequence[int], first: int, stride: int, length: int) -> Window:
    """`length` frames from frame number `first` on, `stride` frame numbers apart.

    Near the end of a sequence the window moves to the left; in a sequence that is too short its last frame repeats.
    Frames that the sequence lacks are left out, so across a gap the distance is a multiple of the stride.

    Raises:  UserError if `first` is not a frame of the sequence, or stride or length is below 1.
    Note:    the public function of this purpose returns one value instead of two for length 1 and crashes its caller.
    """
    if stride < 1 or length < 1:
        raise UserError(f"window of {length} frames with stride {stride}: both must be at least 1")
    lane = [n for n in numbers if (n - first) % stride == 0]
    if first not in lane:
        raise UserError(f"frame {first} is not in the sequence ({numbers[0]} to {numbers[-1]}, {len(numbers)} frames)")
    start = max(0, min(lane.index(first), len(lane) - length))
    frames = lane[start : start + length]
    return Window(tuple(frames + frames[-1:] * (length - len(frames))), len(frames) == length)


@dataclass(frozen=True)
class WindowRule:
    """How clips are cut out of the sequences of one dataset.

    Note:    strides are drawn with equal chance from those at which a whole window fits (the smallest, if none does);
             step is the distance of possible first frames, in frames; ordered False draws frames of a sequence at
             random instead, without a time order (CO3D), each at most once while there are enough.
    """

    strides: tuple[int, ...] = (1,)
    step: int = 1
    ordered: bool = True

    def __post_init__(self) -> None:
        if not self.strides or min(self.strides) < 1 or self.step < 1:
            raise UserError(f"windows with strides {self.strides} and step {self.step}: all must be at least 1")

    def draw(self, numbers: Sequence[int], length: int, rng: np.random.Generator) -> Window:
        """A clip's frame numbers. Every whole window at the drawn stride has the same chance.

        Note:    the public draw takes any frame as the first and moves windows that do not fit to the left, so the
                 last window of a sequence is seen stride * length times as often as the others.
        """
        if not self.ordered:
            picks = rng.choice(len(numbers), length, replace=len(numbers) < length)
            return Window(tuple(numbers[i] for i in picks), len(numbers) >= length)
        extent = numbers[-1] - numbers[0]
        fitting = [s for s in self.strides if s * (length - 1) <= extent] or [min(self.strides)]
        stride = int(fitting[rng.integers(len(fitting))])
        latest = max(numbers[0], numbers[-1] - stride * (length - 1))
        starts = numbers[: bisect_right(numbers, latest)][:: self.step]
        return window(numbers, starts[int(rng.integers(len(starts)))], stride, length)


@dataclass(frozen=True)
class BatchShape:
    """How many clips of how many frames of which size in pixels."""

    clips: int
    frames: int
    height: int
    width: int


@dataclass(frozen=True)
class ShapeRule:
    """Frame counts, aspects (height / width) and the image budget from which batch shapes are drawn.

    Note:    width is always `image_size`; height is the aspect's share of it, down to a multiple of `patch_size`.
             The number of clips is what fits into `images_per_batch`, at least 1.
    """

    image_size: int = RELEASED_SIZE
    patch_size: int = RELEASED_PATCH
    frames: tuple[int, int] = (2, 16)
    aspects: tuple[float, float] = (0.33, 1.0)
    images_per_batch: int = 32

    def __post_init__(self) -> None:
        if not 1 <= self.frames[0] <= self.frames[1] <= MAX_IMAGES:
            raise UserError(f"frames per clip are {self.frames}; expected 1 <= low <= high <= {MAX_IMAGES}")
        if not 0 < self.aspects[0] <= self.aspects[1] <= MAX_ASPECT:
            raise UserError(f"aspects are {self.aspects}; expected 0 < low <= high <= {MAX_ASPECT}")
        if not 1 <= self.patch_size <= self.image_size or self.image_size % self.patch_size:
            raise UserError(f"image size {self.image_size} is not a multiple of the patch size {self.patch_size}")
        if self.image_size > MAX_SIDE:
            raise UserError(f"image size is {self.image_size}; expected at most {MAX_SIDE}")
        if not 1 <= self.images_per_batch <= MAX_IMAGES:
            raise UserError(f"images per batch is {self.images_per_batch}; expected 1 to {MAX_IMAGES}")

    def height(self, aspect: float) -> int:
        """Height in pixels for an aspect, at least one patch."""
        return max(self.patch_size, int(self.image_size * aspect) // self.patch_size * self.patch_size)

    def draw(self, seed: int, iteration: int) -> BatchShape:
        """The shape of all batches of an iteration, on every process.

        Note:    the public sampler draws the frame count from a state that differs between processes.
        """
        rng = generator(seed, "shape", iteration)
        frames = int(rng.integers(self.frames[0], self.frames[1] + 1))
        aspect = round(float(rng.uniform(*self.aspects)), 2)
        return BatchShape(max(1, self.images_per_batch // frames), frames, self.height(aspect), self.image_size)


def generator(seed: int, purpose: str, *numbers: int) -> np.random.Generator:
    """Random numbers for one purpose, independent of those for any other purpose, seed or number."""
    return np.random.default_rng([seed, *purpose.encode(), 0, *numbers])
