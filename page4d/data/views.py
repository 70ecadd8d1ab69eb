"""Pictures for a chapter or a first try: the reader's own, or a clip of the synthetic world with its truth."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from page4d.io.frames import FrameOptions, load_frames
from page4d.io.images import LoadedImages
from page4d.schema import Clip, UserError
from page4d.world import split_clip

SPLIT = "dynamic-test"


@dataclass(frozen=True)
class Views:
    """Frames for the network and, where they are synthetic, the clip that they show."""

    frames: LoadedImages
    truth: Clip | None


def open_views(source: str | Path, *, size: int, patch: int, frames: int = 4) -> Views:
    """The first `frames` pictures of a folder or video, or a clip of the synthetic world.

    Note:    "synthetic" is clip 0 of the held-out split, "synthetic:7" clip 7; all else is a path.
    Shapes:  pictures have width `size` (synthetic ones are square); sides are multiples of `patch`.
    Raises:  UserError if there is nothing to read, or if `size` is not a multiple of `patch`.
    """
    number = re.fullmatch(r"synthetic(?::(\d+))?", str(source))
    if number is None:
        options = FrameOptions(size=size, patch=patch, max_frames=frames)
        return Views(load_frames(source, options), None)
    if size % patch:
        raise UserError(f"size {size} is not a multiple of the patch size {patch}")
    clip = split_clip(SPLIT, int(number[1] or 0), height=size, width=size, frames=frames)
    return Views(_as_loaded(clip), clip)


def _as_loaded(clip: Clip) -> LoadedImages:
    count, _, height, width = clip.images.shape
    size = np.array([[height, width]], np.int64)
    whole = np.array([[0, 0, width, height]], np.float64)
    names = tuple(f"frame_{int(number):04d}" for number in clip.frame_numbers)
    no_time = np.full(count, np.nan)
    return LoadedImages(clip.images, size.repeat(count, 0), whole.repeat(count, 0), names, no_time)
