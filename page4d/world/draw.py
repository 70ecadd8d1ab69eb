"""Random draws for scenes: a CPU generator read in blocks, because single draws from torch cost microseconds."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from page4d.schema import UserError
from page4d.world.config import Range, as_range

Array = NDArray[np.float64]
T = TypeVar("T")
Number = TypeVar("Number", float, Array)
_BLOCK = 512
# torch's CPU generator (mt19937) reads only the low 32 bits of a seed: beyond them, seeds would repeat scenes.
SEEDS = 1 << 32


class Draw:
    """Uniform numbers of one seed, the same on every machine and for every device that renders."""

    def __init__(self, seed: int) -> None:
        if not 0 <= seed < SEEDS:
            raise UserError(f"seed {seed}: scenes have seeds from 0 to 2^32 - 1")
        self._generator = torch.Generator().manual_seed(seed)
        self._numbers: list[float] = []

    def unit(self) -> float:
        """One number in [0, 1)."""
        # Read from the end of a block, as popping there is free.
        if not self._numbers:
            self._numbers = torch.rand(_BLOCK, generator=self._generator, dtype=torch.float64).tolist()
        return self._numbers.pop()

    def uniform(self, low: float, high: float) -> float:
        """One number in [low, high)."""
        return low + (high - low) * self.unit()

    def within(self, knob: Range) -> float:
        """One number from a knob's range."""
        return self.uniform(*as_range(knob))

    def integer(self, low: int, high: int) -> int:
        """One whole number, both ends included."""
        return low + int(self.unit() * (high - low + 1))

    def chance(self, probability: float) -> bool:
        """True with the given probability."""
        return self.unit() < probability

    def choice(self, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        """One of the options."""
        if weights is None:
            return options[self.integer(0, len(options) - 1)]
        mark = self.unit() * sum(weights)
        for option, weight in zip(options, weights, strict=True):
            mark -= weight
            if mark < 0:
                return option
        return options[-1]

    def sign(self) -> float:
        """-1 or 1."""
        return -1.0 if self.unit() < 0.5 else 1.0

    def vector(self, low: float, high: float) -> Array:
        """Three numbers in [low, high)."""
        return np.array((self.uniform(low, high), self.uniform(low, high), self.uniform(low, high)))

    def direction(self) -> Array:
        """A unit vector, uniform on the sphere."""
        z, angle = self.uniform(-1, 1), self.uniform(0, 2 * math.pi)
        # Archimedes: heights of uniform points on a sphere are uniform.
        r = math.sqrt(max(0.0, 1 - z * z))
        return np.array([r * math.cos(angle), z, r * math.sin(angle)])

    def rotation(self) -> Array:
        """A rotation matrix, uniform in axis and angle."""
        return turn(self.direction(), self.uniform(0, math.pi))


def turn(axis: Array, angle: float) -> Array:
    """One rotation matrix about a unit axis, in plain floats because arrays of 3 are slow."""
    x, y, z = axis.tolist()
    return np.array(_rodrigues(x, y, z, math.sin(angle), math.cos(angle))).reshape(3, 3)


def rotation_about(axis: Array, angle: float | Array) -> Array:
    """Rotation matrices about unit axes (*, 3) by angles (*)."""
    x, y, z = axis[..., 0], axis[..., 1], axis[..., 2]
    shape = np.broadcast_shapes(x.shape, np.shape(angle))
    # Filling columns saves the copies that stacking them would make.
    stacked = np.empty((*shape, 9))
    for column, entry in enumerate(_rodrigues(x, y, z, np.asarray(np.sin(angle)), np.asarray(np.cos(angle)))):
        stacked[..., column] = entry
    return stacked.reshape(*shape, 3, 3)


def _rodrigues(x: Number, y: Number, z: Number, sine: Number, cosine: Number) -> tuple[Number, ...]:
    """The nine entries of Rodrigues' rotation about (x, y, z), row by row; of floats or of arrays alike."""
    rest = 1 - cosine
    xy, xz, yz = x * y * rest, x * z * rest, y * z * rest
    xs, ys, zs = x * sine, y * sine, z * sine
    first = (cosine + x * x * rest, xy - zs, xz + ys)
    second = (xy + zs, cosine + y * y * rest, yz - xs)
    third = (xz - ys, yz + xs, cosine + z * z * rest)
    return first + second + third
