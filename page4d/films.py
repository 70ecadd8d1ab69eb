"""Films of any length: frames are read, predicted and written window by window, in the memory of one window."""

from __future__ import annotations

import errno
import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from page4d.inference import mixed_by, predict
from page4d.io.images import LoadedImages
from page4d.model.precision import Precision
from page4d.moves import Move
from page4d.schema import UserError
from page4d.stored import FILM_FILE, StoredPrediction, part_path, write_film_file
from page4d.windows import Joiner, Windows, warn_of_joins

if TYPE_CHECKING:
    from page4d.loops import Mixed

# Batches of frames from the frame of that number on, of any size and all in order; what comes before may be skipped.
FramesFrom = Callable[[int], Iterator[LoadedImages]]


def predict_film(
    model: nn.Module,
    frames_from: FramesFrom | LoadedImages,
    folder: Path,
    windows: Windows,
    *,
    device: torch.device | str | None = None,
    precision: Precision | None = None,
    settings: Mapping[str, Any] | None = None,
    on_window: Callable[[int], object] | None = None,
) -> StoredPrediction:
    """Predict a film into a folder, window by window; what a run that was killed has left is gone on with.

    Note:    peak memory and time per frame do not depend on the film's length. `settings` say what was asked for: they
             stand in the film's meta, and a run goes on only with the same. `on_window` hears how many frames are done.
             Loops are closed when all windows are there; a run killed in it begins with that again.
    Raises:  UserError as `predict`, for a folder that holds another film, and where the disk is full: what was written
             stays readable, and the same call goes on from there.
    """
    reader = frames_at_hand(frames_from) if isinstance(frames_from, LoadedImages) else frames_from
    asked = _as_stored(dict(settings or {}) | {"windows": windows.record()})
    folder.mkdir(parents=True, exist_ok=True)
    done = _begun(folder, asked)
    if done is not None and done.finished:
        return done
    meta = None if done is None else done.about
    joiner, last, start, end = _resume_point(done, windows)
    for begin, frames in windows_of(reader(last), windows, last, start, end):
        said = predict(model, frames, device=device, precision=precision)
        meta = _keep_one_maker(folder, meta, said.meta | asked)
        new = joiner.add(said, begin)
        own = {"start": begin, "joins": [join.record() for join in joiner.joins[-1:]]}
        with _explain_full_disk(folder, end):
            replace(new, meta=own).save(part_path(folder, end, len(new)))
        end += len(new)
        if on_window is not None:
            on_window(end)
    if meta is None:
        raise UserError("the film has no frame; there is nothing to predict")
    moves: list[Move] = []
    if windows.loops:
        found, moves = _loops(StoredPrediction.open(folder), windows, mixed_by(model, device, precision))
        meta = dict(meta) | {"loops": found}
    # One file says that the film is whole and where its parts lie: it is never half corrected.
    write_film_file(folder, meta, finished=True, moves=moves, frames=end)
    film = StoredPrediction.open(folder)
    warn_of_joins(film.meta.get("joins", []))
    return film


def _loops(film: StoredPrediction, windows: Windows, mixed: Mixed) -> tuple[list[dict[str, Any]], list[Move]]:
    """What was found, for the film's meta, and what takes each part into the corrected world."""
    from page4d.loops import loops_of, moves_of  # with scipy, which a film without loops has no use for

    loops = loops_of(film, windows, mixed)
    return [loop.record() for loop in loops], moves_of(film, windows, film.meta.get("joins", []), loops)


def _resume_point(done: StoredPrediction | None, windows: Windows) -> tuple[Joiner, int, int, int]:
    """What joins the next window; the first frame to read, that of the next window, and how many frames are done."""
    joiner = Joiner(windows.frames)
    if done is None or not done.files:
        return joiner, 0, 0, 0
    joiner.resume(done[-windows.frames :], len(done))
    last = int(done.last_meta["start"])
    return joiner, last, last + windows.step, len(done)


def _begun(folder: Path, asked: Mapping[str, Any]) -> StoredPrediction | None:
    """What an earlier run left, if it was asked the same."""
    if not (folder / FILM_FILE).is_file():
        return None
    done = StoredPrediction.open(folder)
    _check_same(folder, {name: done.about.get(name) for name in asked}, asked)
    return done


def _keep_one_maker(folder: Path, before: Mapping[str, Any] | None, now: Mapping[str, Any]) -> Mapping[str, Any]:
    """What makes the film, written down with its first window and the same for all others."""
    stored = _as_stored(now)
    if before is None:
        write_film_file(folder, stored, finished=False)
    else:
        _check_same(folder, before, stored)
    return stored


def _as_stored(values: Mapping[str, Any]) -> dict[str, Any]:
    """What a JSON file gives back of it: lists for tuples."""
    return dict(json.loads(json.dumps(values)))


def _check_same(folder: Path, before: Mapping[str, Any], now: Mapping[str, Any]) -> None:
    """A film is of one making: half of it with other weights would be what neither run makes."""
    different = sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
    if different:
        name = different[0]
        raise UserError(
            f"{folder} holds a film begun with {name} {before.get(name)!r}, now it is {now.get(name)!r}; "
            "go on with the same, or predict into another folder"
        )


@contextmanager
def _explain_full_disk(folder: Path, frames: int) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        raise UserError(
            f"{folder}: {error.strerror}; {frames} frames are written and can be read. "
            "Make room and start the same again, it goes on from there"
        ) from error


def windows_of(
    batches: Iterator[LoadedImages], windows: Windows, first: int = 0, start: int = 0, end: int = 0
) -> Iterator[tuple[int, LoadedImages]]:
    """First frame and frames of every window, those of `Windows.starts`, without knowing how long the film is.

    Shapes:  batches begin with frame `first`; windows from `start` on are wanted, `end` frames have been predicted.
    Note:    the last window ends with the film and may begin anywhere behind the one before it, whose frames are held.
    """
    held: LoadedImages | None = None
    for batch in batches:
        held = batch if held is None else joined_images(held, batch)
        while first + len(held) >= start + windows.frames:
            held, first = cut_images(held, slice(start - first, None)), start
            yield start, cut_images(held, slice(windows.frames))
            end = start + windows.frames
            start += windows.step
    if held is not None and first + len(held) > end:
        begin = max(first + len(held) - windows.frames, 0)
        yield begin, cut_images(held, slice(begin - first, None))


def cut_images(frames: LoadedImages, part: slice | NDArray[np.int64]) -> LoadedImages:
    """Some of the frames of a batch, their pictures in memory of their own, which starts alike whoever cut them."""
    values = {f.name: getattr(frames, f.name) for f in fields(frames)}
    names = tuple(np.array(values.pop("names"), object)[part])
    cut: dict[str, Any] = {name: value[part] for name, value in values.items() if value is not None}
    return replace(frames, **cut | {"images": cut["images"].clone(), "names": names})


def joined_images(before: LoadedImages, after: LoadedImages) -> LoadedImages:
    """Two batches of consecutive frames as one.

    Raises:  UserError if they differ in size.
    """
    if before.size_hw != after.size_hw:
        (height, width), (h, w) = before.size_hw, after.size_hw
        raise UserError(
            f"{after.names[0]} becomes {w} x {h} px for the network, the frames before it {width} x {height}; frames "
            "of one film need one size: take mode square, or make the pictures one size"
        )
    kept = None if before.kept is None and after.kept is None else np.concatenate((_kept(before), _kept(after)))
    joined: dict[str, Any] = {"images": torch.cat((before.images, after.images)), "names": before.names + after.names}
    for name in ("original_hw", "box_in_original", "timestamps_s"):
        joined[name] = np.concatenate((getattr(before, name), getattr(after, name)))
    return replace(before, kept=kept, **joined)


def _kept(frames: LoadedImages) -> NDArray[np.bool_]:
    everything = np.ones((len(frames), *frames.size_hw), np.bool_)
    return everything if frames.kept is None else frames.kept


def frames_at_hand(frames: LoadedImages) -> FramesFrom:
    """Frames that are in memory, as a film is read."""
    return lambda first: iter([cut_images(frames, slice(first, None))])
