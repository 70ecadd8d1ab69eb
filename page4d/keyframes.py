"""Of a film, the frames in which the picture has moved far enough since the last one that was kept.

It is decided by the pictures alone, before the network sees them: where a camera rests, windows are not filled with
copies of one view, and where it hurries, no view is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from page4d.films import FramesFrom, cut_images
from page4d.io.images import LoadedImages
from page4d.result.sightings import new_corners, step
from page4d.schema import UserError


@dataclass(frozen=True)
class Keyframes:
    """A frame is kept where half of the points of the last one kept have moved by `moved`, or `lost` of them are gone.

    Units:   moved as share of the picture's diagonal, lost as share of the points.
    Note:    the median, so that things which move by themselves count only where they fill half of the picture. A
             picture in which nothing can be followed says nothing, and the next one is kept.
    Raises:  UserError for shares that are none.
    """

    moved: float = 0.05
    lost: float = 0.5

    def __post_init__(self) -> None:
        for name in ("moved", "lost"):
            value = getattr(self, name)
            if not 0 < value < 1:
                raise UserError(f"keyframes: {name} is {value:g}; expected a share above 0 and below 1")


class Chooser:
    """Decides frame by frame, in their order."""

    def __init__(self, rule: Keyframes) -> None:
        self.rule = rule
        self._before: NDArray[np.uint8] | None = None
        self._from = self._at = np.empty((0, 2), np.float32)
        self._begun = 0

    def takes(self, image: Tensor) -> bool:
        """Whether this frame (3, H, W) is kept."""
        pixels = (image * 255).round().byte().permute(1, 2, 0).contiguous().cpu().numpy()
        grey = np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY), np.uint8)
        everywhere = np.ones(grey.shape, bool)
        if self._before is not None:
            self._at, followed = step(self._before, grey, self._at, everywhere)
            self._from = self._from[followed]
        self._before = grey
        if not self._has_moved(float(np.hypot(*grey.shape))):
            return False
        self._from = self._at = new_corners(grey, everywhere, np.empty((0, 2), np.float32))
        self._begun = len(self._at)
        return True

    def _has_moved(self, diagonal: float) -> bool:
        left = len(self._at)
        if left == 0 or left < (1 - self.rule.lost) * self._begun:
            return True
        distance = np.linalg.norm(self._at - self._from, axis=1)
        return bool(np.median(distance) >= self.rule.moved * diagonal)


def keyframes_of(frames: LoadedImages, rule: Keyframes) -> LoadedImages:
    """The keyframes of frames at hand."""
    chooser = Chooser(rule)
    kept = [i for i, image in enumerate(frames.images) if chooser.takes(image)]
    return cut_images(frames, np.array(kept))


def only_keyframes(frames_from: FramesFrom, rule: Keyframes) -> FramesFrom:
    """A film's keyframes, read as the film is: frames count from the first that is kept.

    Note:    to begin in the middle, all frames before are looked at again, for each choice rests on the one before.
    """

    def read(first: int) -> Iterator[LoadedImages]:
        chooser, number = Chooser(rule), 0
        for batch in frames_from(0):
            kept = []
            for i, image in enumerate(batch.images):
                if chooser.takes(image):
                    if number >= first:
                        kept.append(i)
                    number += 1
            if kept:
                yield cut_images(batch, np.array(kept))

    return read
