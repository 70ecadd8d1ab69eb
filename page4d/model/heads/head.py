"""What every head is given, and what it must offer."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from page4d.model.config import PAGE4DConfig

ALL_FRAMES = slice(None)
# Frames that a dense head takes at once: one chunk's maps are the peak of a short clip, and two frames fill a GPU.
TRAINING_CHUNK = 8
INFERENCE_CHUNK = 2


@dataclass(frozen=True)
class HeadInputs:
    """What a head may read.

    Shapes:  tokens (B, S, 5 + N, 2C) per kept pair, None elsewhere; images (B, S, 3, H, W); query_points (B, Q, 2).
    Units:   query_points are (x, y) in pixels of the first frame.
    Note:    `patch_start` is the index at which patch tokens begin; dense maps are made of `dense_frames`, `chunk`
             frames at a time.
    """

    tokens: Sequence[Tensor | None]
    images: Tensor
    patch_start: int
    query_points: Tensor | None
    dense_frames: slice
    chunk: int | None

    @property
    def dense_tokens(self) -> list[Tensor | None]:
        """The tokens of `dense_frames`."""
        return [None if level is None else level[:, self.dense_frames] for level in self.tokens]

    @property
    def dense_images(self) -> Tensor:
        """The images of `dense_frames`."""
        return self.images[:, self.dense_frames]


class Head(nn.Module, ABC):
    """A part that reads the aggregator's tokens; `forward` keeps VGGT's call shape, the rest is for the network.

    Note:    `channels` is how many numbers a pixel the head's dense maps have, confidence included, 0 for a head
             without; `on_request` marks a head that answers only where query points are given.
    """

    channels: ClassVar[int] = 0
    on_request: ClassVar[bool] = False

    @staticmethod
    @abstractmethod
    def pairs_read(config: PAGE4DConfig) -> tuple[int, ...]:
        """The block pairs whose tokens this head reads."""

    @abstractmethod
    def outputs(self, seen: HeadInputs) -> dict[str, Any]:
        """The entries that this head adds to the network's dictionary."""

    @staticmethod
    def kept(outputs: Mapping[str, Tensor], size_hw: tuple[int, int]) -> dict[str, Tensor]:
        """The fields of a Prediction that this head fills, from the network's dictionary: (B, S, ...) each."""
        return {}
