"""Frames of pictures or of a film, read when they are wanted: a few at a time, so that length takes no memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from page4d.io.fitting import FittedImage, fit_image
from page4d.io.frames import FrameOptions, Inputs, frame_name, list_frames, tell_unmasked
from page4d.io.images import LoadedImages, Reading, collate, frame_names, left_out_by, read_pictures
from page4d.io.pictures import ImageSource
from page4d.io.video import VideoFrame, read_video
from page4d.schema import UserError

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
        total = unmasked = 0
        for i, frame in enumerate(read_video(path, selection=self.options.selection)):
            if i < first:
                continue
            name = frame_name(path, frame.number)
            total += 1
            unmasked += name not in self.inputs.masks
            fitted.append(self._fitted(frame, name))
            names.append(name)
            times.append(self._time_s(frame))
            if len(fitted) == AT_ONCE:
                yield collate(fitted, names, times)
                fitted, names, times = [], [], []
        if fitted:
            yield collate(fitted, names, times)
        tell_unmasked(unmasked, total, self.options)

    def _fitted(self, frame: VideoFrame, name: str) -> FittedImage:
        fitted = fit_image(frame.image, self.options.mode, self.options.size, self.options.patch)
        mask = self.inputs.masks.get(name)
        return fitted if mask is None else fitted.without(left_out_by(mask))

    def _time_s(self, frame: VideoFrame) -> float:
        given = self.inputs.times_s
        if given is None:
            return frame.time_s
        if frame.number >= len(given):
            raise UserError(
                f"{self.options.times}: {len(given)} times, expected one for each of the film's frames, at least "
                f"{frame.number + 1}"
            )
        return given[frame.number]
