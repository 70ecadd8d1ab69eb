"""Whatever the user names as a batch of frames: found, selected, timed, read and fitted."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from page4d.io.fitting import CUT_TOLD, RELEASED_PATCH, RELEASED_SIZE, FittedImage, Mode, check_fit, fit_image
from page4d.io.images import (
    LoadedImages,
    Pages,
    Reading,
    collate,
    expand_pages,
    frame_names,
    left_out_by,
    read_pictures,
)
from page4d.io.inputs import find_inputs, is_film
from page4d.io.names import by_stem, list_files, read_times, time_stamps_s
from page4d.io.pictures import ImageSource, Page
from page4d.io.selection import FrameSelection
from page4d.io.suffixes import picture_suffixes
from page4d.io.video import read_video
from page4d.schema import UserError, notice

TimesFrom = Literal["names", "none"]


@dataclass(frozen=True)
class FrameOptions:
    """How frames are fitted to the network (see `io.fitting`), read (see `Reading`), timed, and which are taken.

    Note:    `times_from` "names" takes times from the names of pictures where every one is a time stamp; `times` is a
             file with one time a line, in seconds, or a time and a name. `mask_folder` holds a picture for a frame of
             the same name, black where it is left out of points, scale and joins. `every`, `spread`, `start_s` and
             `end_s` are those of `FrameSelection`.
    """

    mode: Mode = "crop"
    size: int = RELEASED_SIZE
    patch: int = RELEASED_PATCH
    fps: float | None = None
    max_frames: int | None = None
    every: int = 1
    spread: int | None = None
    start_s: float | None = None
    end_s: float | None = None
    pages: Pages = "first"
    bits: int | None = None
    alpha: bool = True
    times_from: TimesFrom = "names"
    times: Path | None = None
    mask_folder: Path | None = None

    def __post_init__(self) -> None:
        check_fit(self.mode, self.size, self.patch)
        _ = self.selection

    @property
    def selection(self) -> FrameSelection:
        """Which frames are taken."""
        return FrameSelection(self.fps, self.max_frames, self.every, self.spread, self.start_s, self.end_s)


@dataclass(frozen=True)
class Inputs:
    """The one film, or the pictures that were selected, with a name and perhaps a time for each; nothing is decoded.

    Note:    of a film the times file says the time of each of its frames, and masks are all that are named like one.
    """

    sources: tuple[ImageSource | Page, ...]
    film: Path | None
    names: tuple[str, ...]
    times_s: tuple[float, ...] | None
    masks: Mapping[str, Path]


def load_frames(paths: ImageSource | Sequence[ImageSource], options: FrameOptions | None = None) -> LoadedImages:
    """Load images, folders of images or one video as a batch of frames.

    Shapes:  S frames -> images (S, 3, H, W); a video's frames carry their times and numbers.
    Note:    frames of a video are resized as they are decoded, so its length in memory is counted at the network's
             size.
    Raises:  UserError as `find_inputs`, `load_images` and `read_video`, or if the options cannot be met.
    """
    options = options or FrameOptions()
    inputs = list_frames(paths, options)
    if inputs.film is not None:
        return _load_film(inputs.film, inputs, options)
    masks = dict(inputs.masks)
    reading = Reading(options.mode, options.size, options.patch, options.pages, options.bits, options.alpha, masks)
    # Where no time was found, that is said, or the names would be searched again.
    unknown = [np.nan] * len(inputs.sources)
    return read_pictures(inputs.sources, reading, inputs.times_s or unknown)


def list_frames(paths: ImageSource | Sequence[ImageSource], options: FrameOptions | None = None) -> Inputs:
    """What will be read, without decoding anything.

    Raises:  UserError for nothing, a file that does not exist, a folder without images, a video beside other files, or
             options that cannot be met.
    """
    options = options or FrameOptions()
    found = find_inputs(paths)
    if is_film(found[0]):
        film = Path(str(found[0]))
        times = None if options.times is None else tuple(_in_order(read_times(options.times), options.times))
        return Inputs((film,), film, (film.name,), times, _masks_of_film(film, options))
    sources: list[ImageSource | Page] = expand_pages(found) if options.pages == "all" else list(found)
    names = frame_names(sources)
    times_s = _times(names, options)
    if options.selection.by_time and times_s is None:
        raise UserError(
            "fps chooses frames of a video, as start and end do, or of pictures whose times are known, but images "
            "were given; leave it out, or give their times (--times FILE)"
        )
    chosen = options.selection.indices(len(sources), times_s)
    taken = None if times_s is None else tuple(times_s[i] for i in chosen)
    chosen_names = tuple(names[i] for i in chosen)
    return Inputs(tuple(sources[i] for i in chosen), None, chosen_names, taken, masks_of(chosen_names, options))


def _in_order(times_s: list[float], path: Path) -> list[float]:
    """The times as they are; those that do not rise, as the frames of one camera do, are told."""
    falling = [frame for frame, (before, after) in enumerate(pairwise(times_s), 1) if after <= before]
    if falling:
        notice(
            f"{path}: {len(falling)} of {len(times_s)} times are not after the one before, first that of frame "
            f"{falling[0]}, counted from 0; right for several cameras, for one they are not in the order of its frames"
        )
    return times_s


def _times(names: Sequence[str], options: FrameOptions) -> list[float] | None:
    """Times of pictures: of the file that says them, else of their names."""
    if options.times is not None:
        return _in_order(read_times(options.times, names), options.times)
    return time_stamps_s(names) if options.times_from == "names" else None


def _masks(options: FrameOptions) -> dict[str, Path]:
    """Mask files of the folder by their stem."""
    if options.mask_folder is None:
        return {}
    if not options.mask_folder.is_dir():
        raise UserError(f"{options.mask_folder} is no folder; expected one with a picture for each frame")
    files = list_files(options.mask_folder, picture_suffixes())
    if not files:
        raise UserError(
            f"{options.mask_folder} holds no mask; expected one picture a frame, black where it is left out"
        )
    return by_stem(files)


def masks_of(names: Sequence[str], options: FrameOptions) -> dict[str, Path]:
    """The mask of each frame: of its stem, or of its whole name as COLMAP has it.

    Raises:  UserError if no frame has one.
    """
    stored = _masks(options)
    found = {name: stored.get(Path(name).stem, stored.get(Path(name).name)) for name in names}
    masks = {name: path for name, path in found.items() if path is not None}
    if stored and not masks:
        raise UserError(
            f"{options.mask_folder}: no mask is named like a frame; expected {Path(names[0]).stem}.png for {names[0]}"
        )
    _tell_unmasked(len(names) - len(masks), len(names), options)
    return masks


def frame_name(film: Path, number: int) -> str:
    """The name of a film's frame, counted from 0."""
    return f"{film.stem}_{number:06d}"


def _masks_of_film(film: Path, options: FrameOptions) -> dict[str, Path]:
    """The masks that are named like a frame of a film, known before the first one is decoded.

    Raises:  UserError if no mask is.
    """
    stored = _masks(options)
    of_a_frame = re.compile(re.escape(film.stem) + r"_\d{6,}")
    masks = {name: path for name, path in stored.items() if of_a_frame.fullmatch(name)}
    if stored and not masks:
        raise UserError(
            f"{options.mask_folder}: no mask is named like a frame; expected {frame_name(film, 0)}.png for the first"
        )
    return masks


def _tell_unmasked(count: int, total: int, options: FrameOptions) -> None:
    """Tell of frames that are whole because they have no mask, where masks were given."""
    if options.mask_folder is not None and count:
        notice(f"{count} of {total} frames have no mask in {options.mask_folder}; all is kept")


class FilmFrame(NamedTuple):
    """A frame of a film at the network's size, less what its mask leaves out; `time_s` is the film's own."""

    fitted: FittedImage
    name: str
    number: int
    time_s: float


def fit_film(path: Path, inputs: Inputs, options: FrameOptions, first: int = 0) -> Iterator[FilmFrame]:
    """The frames that are taken of a film, from the `first` of them on, fitted as they are decoded.

    Note:    what fitting cuts is told with the first frame, what has no mask after the last.
    """
    total = unmasked = 0
    for i, frame in enumerate(read_video(path, selection=options.selection)):
        if i < first:
            continue
        name = frame_name(path, frame.number)
        fitted = fit_image(frame.image, options.mode, options.size, options.patch)
        mask = inputs.masks.get(name)
        if i == first:
            _tell_cut(path, fitted, options.mode)
        if mask is not None:
            fitted = fitted.without(left_out_by(mask, fitted.original_hw))
        total += 1
        unmasked += mask is None
        yield FilmFrame(fitted, name, frame.number, frame.time_s)
    _tell_unmasked(unmasked, total, options)


def _load_film(path: Path, inputs: Inputs, options: FrameOptions) -> LoadedImages:
    frames = list(fit_film(path, inputs, options))
    given = inputs.times_s
    if given is not None and len(given) == len(frames):
        times = list(given)
    else:
        times = [film_time(frame, inputs, options, f", or for the {len(frames)} taken") for frame in frames]
    fitted = [frame.fitted for frame in frames]
    return collate(fitted, [frame.name for frame in frames], times)


def _tell_cut(path: Path, fitted: FittedImage, mode: str) -> None:
    if fitted.cut_share > CUT_TOLD:
        notice(f"mode {mode!r} cuts {fitted.cut_share:.0%} of the height of {path}; --mode pad keeps all of it")


def film_time(frame: FilmFrame, inputs: Inputs, options: FrameOptions, or_else: str = "") -> float:
    """When a film's frame was taken: as the times file says, else as the film does.

    Raises:  UserError if the file ends before it; `or_else` is what else it might have held, in words.
    """
    given = inputs.times_s
    if given is None:
        return frame.time_s
    if frame.number >= len(given):
        raise UserError(
            f"{options.times}: {len(given)} times, expected one for each of the film's frames, at least "
            f"{frame.number + 1}{or_else}"
        )
    return given[frame.number]
