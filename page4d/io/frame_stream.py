"""Frames of pictures or of a film, read when they are wanted: a few at a time, so that length takes no memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from page4d.io.frames import FrameOptions, Inputs, film_time, fit_film, list_frames
from page4d.io.images import LoadedImages, Reading, collate, frame_names, read_pictures
from page4d.io.pictures import ImageSource

AT_ONCE = 8


@dataclass(frozen=True)
class FrameStream:
    """What `load_frames` loads, from any frame on, in batches: `stream(100)` begins with frame 100.

    Raises:  UserError as `load_frames`, when it comes to the frame that cannot be read.
    """

    paths: ImageSource | Sequence[ImageSource]
    options: FrameOptions

    @cached_property
    def inputs(self) -> Inputs:
        """The film or the pictures; nothing is decoded for it."""
        return list_frames(self.paths, self.options)

    @property
    def at_most(self) -> int | None:
        """How many frames there can be: as many as pictures, or as are taken of a film; None if nothing says it."""
        if self.inputs.film is None:
            return len(self.inputs.sources)
        return self.options.max_frames or self.options.spread

    def __call__(self, first: int = 0) -> Iterator[LoadedImages]:
        """Batches of frames from number `first` on."""
        if self.inputs.film is not None:
            yield from self._of_film(self.inputs.film, first)
            return
        for begin in range(first, len(self.inputs.sources), AT_ONCE):
            yield self._pictures(slice(begin, begin + AT_ONCE))

    def _pictures(self, part: slice) -> LoadedImages:
        """Some of the pictures, under the names that tell all of them apart."""
        sources, names = self.inputs.sources[part], self.inputs.names[part]
        alone = frame_names(sources)
        known = self.inputs.masks
        masks = {own: known[name] for own, name in zip(alone, names, strict=True) if name in known}
        options = self.options
        reading = Reading(options.mode, options.size, options.patch, options.pages, options.bits, options.alpha, masks)
        times = self.inputs.times_s
        frames = read_pictures(sources, reading, [np.nan] * len(sources) if times is None else times[part])
        return replace(frames, names=names)

    def _of_film(self, path: Path, first: int) -> Iterator[LoadedImages]:
        fitted, names, times = [], [], []
        for frame in fit_film(path, self.inputs, self.options, first):
            fitted.append(frame.fitted)
            names.append(frame.name)
            times.append(film_time(frame, self.inputs, self.options))
            if len(fitted) == AT_ONCE:
                yield collate(fitted, names, times)
                fitted, names, times = [], [], []
        if fitted:
            yield collate(fitted, names, times)
