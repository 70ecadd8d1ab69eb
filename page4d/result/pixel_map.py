"""Between the pixels of the network's input and those of the user's own pictures.

`box` says which window of the original an input shows, in pixel edges; crop, pad and squash are all undone by it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.floating[Any]]
HALF_PIXEL = 0.5  # the centre of the first pixel for tools that count from the picture's corner, as COLMAP does


class Boxed(Protocol):
    """Frames that know which part of their originals they show: LoadedImages and Prediction."""

    @property
    def box_in_original(self) -> NDArray[np.float64]: ...

    @property
    def size_hw(self) -> tuple[int, int]: ...


@dataclass(frozen=True)
class PixelMap:
    """Input pixels to original pixels and back: one map, or one per frame.

    Shapes:  scale (*, 2) in original pixels per input pixel, corner (*, 2) of the box, both as (x, y); points are
             (*, ..., 2): further axes between those of the map and the last belong to one frame.
    Frame:   pixel (0, 0) is centred at (0, 0) on both sides, so x' = (x + 0.5) scale - 0.5 + corner.
    """

    scale: NDArray[np.float64]
    corner: NDArray[np.float64]

    @classmethod
    def of_box(cls, box: Array, size_hw: tuple[int, int]) -> PixelMap:
        """The map of inputs of `size_hw` that show `box` (*, 4) = x0, y0, x1, y1."""
        height, width = size_hw
        corner, end = np.array(box[..., :2], np.float64), np.array(box[..., 2:], np.float64)
        return cls((end - corner) / np.array([width, height]), corner)

    @classmethod
    def of_whole(cls, original_hw: NDArray[np.int64] | tuple[int, int], size_hw: tuple[int, int]) -> PixelMap:
        """The map of an input of `size_hw` that shows all of an original of `original_hw`."""
        height, width = original_hw
        return cls.of_box(np.array([0, 0, width, height], np.float64), size_hw)

    @classmethod
    def of(cls, frames: Boxed) -> PixelMap:
        """One map per frame of loaded images or of a Prediction."""
        return cls.of_box(frames.box_in_original, frames.size_hw)

    def __getitem__(self, frame: int | NDArray[np.integer[Any]] | list[int]) -> PixelMap:
        """The map of one frame, or of each named frame."""
        return PixelMap(self.scale[frame], self.corner[frame])

    def onto(self, other: PixelMap) -> PixelMap:
        """From this map's inputs to those of `other`, which show the same originals at another size or crop."""
        return PixelMap(self.scale / other.scale, (self.corner - other.corner) / other.scale)

    def to_original(self, xy: Array) -> NDArray[np.float64]:
        """Input coordinates (*, ..., 2) in pixels of the originals."""
        scale, corner = self._over(xy)
        return np.asarray((xy + 0.5) * scale - 0.5 + corner)

    def to_input(self, xy: Array) -> NDArray[np.float64]:
        """Original coordinates (*, ..., 2) in pixels of the input; outside -0.5 ... size - 0.5 was not shown."""
        scale, corner = self._over(xy)
        return np.asarray((xy + 0.5 - corner) / scale - 0.5)

    def K_in_original(self, K: Array) -> NDArray[np.float64]:
        """Intrinsics (*, 3, 3) of the input in pixels of the originals."""
        moved = np.array(K, np.float64)
        moved[..., :2, :2] *= self.scale[..., None]
        moved[..., :2, 2] = self.to_original(K[..., :2, 2])
        return moved

    def K_in_input(self, K: Array) -> NDArray[np.float64]:
        """Intrinsics (*, 3, 3) of the originals in pixels of the input."""
        moved = np.array(K, np.float64)
        moved[..., :2, :2] /= self.scale[..., None]
        moved[..., :2, 2] = self.to_input(K[..., :2, 2])
        return moved

    def grid_in_input(self, original_hw: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where each column and row of an original lies in the input: x (*, w0), y (*, h0)."""
        diagonal = self.to_input(self._diagonal(original_hw))
        return diagonal[..., : original_hw[1], 0], diagonal[..., : original_hw[0], 1]

    def grid_in_original(self, input_hw: tuple[int, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Where each column and row of the input lies in the original: x (*, W), y (*, H)."""
        diagonal = self.to_original(self._diagonal(input_hw))
        return diagonal[..., : input_hw[1], 0], diagonal[..., : input_hw[0], 1]

    def _diagonal(self, size_hw: tuple[int, int]) -> NDArray[np.float64]:
        """Pixels (..., n, 2) that name every column and every row once, the same for every frame."""
        n = np.arange(max(size_hw), dtype=np.float64)
        ones = [1] * (self.scale.ndim - 1)
        return np.stack((n, n), -1).reshape(*ones, -1, 2)

    def _over(self, xy: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Scale and corner with the axes that points of one frame have more."""
        leading = self.scale.shape[:-1]
        shape = (*leading, *([1] * (np.ndim(xy) - self.scale.ndim)), 2)
        return self.scale.reshape(shape), self.corner.reshape(shape)
