"""A Prediction on disk, whole or in parts, read a piece at a time.

A long film is a folder: every window's new frames are a file of their own, written whole or not at all, so that what
is written can be read at any moment, and a run that was killed goes on behind the last of them.

    film.json                          format, what made it, and whether the film is finished
    frames_000000_000031.npz           a Prediction of frames 0 to 31; the next file goes on with frame 32

Where loops were closed (format 2), film.json holds a similarity for every part too, which takes what the part's file
says into the corrected world. Files are not written again: a film is corrected in the moment in which it is finished.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from page4d.moves import Move
from page4d.places import json_of
from page4d.plausible import check_meta
from page4d.schema import MALFORMED, Prediction, UserError, atomic_write, concatenated, read_header

FILM_FORMATS = (1, 2)  # 2 has moves, which a reader of 1 would not know of
FILM_FILE = "film.json"
FILM_FOLDER = "prediction"  # of a film, in the folder that `page4d predict` makes
_PART = re.compile(r"frames_(\d+)_(\d+)\.npz")


@dataclass(frozen=True)
class StoredPart:
    """One file of a film: frames `first` up to, not including, `end`."""

    path: Path
    first: int
    end: int
    move: Move | None = None

    def load(self) -> Prediction:
        """The part in the film's world, whole."""
        stored = Prediction.load(self.path)
        if len(stored) != self.end - self.first:
            raise UserError(f"{self.path} holds {len(stored)} frames, not {self.end - self.first}; predict again")
        return stored if self.move is None else self.move(stored)


@dataclass(frozen=True)
class StoredPrediction:
    """A Prediction that stays on disk until some of its frames are asked for.

    Note:    `stored[100:200]` reads these frames alone and needs memory for their parts; `stored.parts()` goes through
             a film of any length in the memory of one part. `finished` is False of a film whose run was cut off.
    """

    path: Path
    files: tuple[StoredPart, ...]
    about: Mapping[str, Any]
    finished: bool = True

    @classmethod
    def open(cls, path: os.PathLike[str] | str) -> StoredPrediction:
        """Look at an npz or a film's folder without reading its arrays.

        Raises:  UserError if there is none, or it is damaged or of another format version.
        """
        path = Path(path)
        if not path.is_dir():
            header = read_header(path)
            return cls(path, (StoredPart(path, 0, len(header["frame_names"])),), header["meta"])
        film = read_film_file(path)
        parts = tuple(_parts_in(path))
        there, expected = parts[-1].end if parts else 0, film["frames"]
        if film["finished"] and expected is not None and there != expected:
            raise UserError(f"{path} has {there} of {expected} frames, the last ones are gone; predict again")
        return cls(path, _with_moves(path, parts, film["moves"]), film["meta"], film["finished"])

    def __len__(self) -> int:
        return self.files[-1].end if self.files else 0

    def __getitem__(self, frames: slice) -> Prediction:
        """Some of the frames as a Prediction in memory.

        Raises:  UserError if there is none of them.
        """
        if len(self) == 0:
            raise UserError(f"{self.path} holds no frame; predict again")
        wanted = range(len(self))[frames]
        if len(wanted) == 0:
            raise UserError(f"{self.path} has frames 0 to {len(self) - 1}; there are none in {_words(frames)}")
        low, high = min(wanted[0], wanted[-1]), max(wanted[0], wanted[-1])
        read = [part for part in self.files if part.first <= high and part.end > low]
        # Each part is cut before the next is read: what was asked for is all that stays in memory.
        pieces = [p.load()[max(low - p.first, 0) : high + 1 - p.first] for p in read]
        if any(_of_a_frame(piece) != _of_a_frame(pieces[0]) for piece in pieces):
            raise UserError(f"{self.path} has parts of different sizes or contents; predict again")
        meta = self._meta_with(piece.meta for piece in pieces)
        return replace(concatenated(pieces)[:: wanted.step], meta=meta)

    def parts(self) -> Iterator[Prediction]:
        """One part after the other."""
        for part in self.files:
            yield part.load()

    def load(self) -> Prediction:
        """All frames in memory."""
        return self[:]

    @property
    def bytes(self) -> int:
        """Bytes of its files, which are not compressed: about what all frames take in memory."""
        return sum(part.path.stat().st_size for part in self.files)

    @property
    def last_meta(self) -> dict[str, Any]:
        """What the last part says of itself: of a film the first frame of its window, and how that joined."""
        return dict(read_header(self.files[-1].path)["meta"])

    @cached_property
    def frame_names(self) -> tuple[str, ...]:
        """The names of all frames; of the arrays nothing is read."""
        return tuple(name for part in self.files for name in read_header(part.path)["frame_names"])

    @cached_property
    def meta(self) -> dict[str, Any]:
        """What made it, and of a film how well every window joins the ones before."""
        return self._meta_with(read_header(part.path)["meta"] for part in self.files)

    def _meta_with(self, of_parts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """What made it, with the joins that these parts' own metas tell."""
        if not self.path.is_dir():
            return dict(self.about)
        joins = [join for meta in of_parts for join in meta.get("joins", [])]
        return dict(self.about) | ({"joins": joins} if joins else {})


def _of_a_frame(part: Prediction) -> list[tuple[int, ...]]:
    """The shape of one frame's share of every array, which all parts of a film have in common."""
    return [np.shape(getattr(part, f.name))[1:] for f in fields(part)]


def _words(frames: slice) -> str:
    return f"{'' if frames.start is None else frames.start}:{'' if frames.stop is None else frames.stop}"


def _parts_in(folder: Path) -> Iterator[StoredPart]:
    """The film's parts in order.

    Raises:  UserError if frames are missing between them.
    """
    named = ((path, _PART.fullmatch(path.name)) for path in sorted(folder.iterdir()))
    end = 0
    for path, found in named:
        if found is None:
            continue
        part = StoredPart(path, int(found[1]), int(found[2]) + 1)
        if part.first > end:
            raise UserError(f"{folder} lacks frames {end} to {part.first - 1}, before {path.name}; predict them again")
        if part.first < end or part.end <= part.first:
            raise UserError(f"{folder} holds {path.name}, where frame {end} was to come next; move it away")
        yield part
        end = part.end


def _with_moves(folder: Path, parts: tuple[StoredPart, ...], moves: list[Move]) -> tuple[StoredPart, ...]:
    """The parts with what brings each into the film's world.

    Raises:  UserError unless there is a move for each of them, or none at all.
    """
    if not moves:
        return parts
    if len(moves) != len(parts):
        raise UserError(f"{folder / FILM_FILE} moves {len(moves)} parts, the folder has {len(parts)}; predict again")
    return tuple(replace(part, move=move) for part, move in zip(parts, moves, strict=True))


def read_film_file(folder: Path) -> dict[str, Any]:
    """What a film's folder says of itself: meta, finished, moves, and how many frames it has when it is finished.

    Raises:  UserError if it is not a film's folder, or of another format version.
    """
    path = folder / FILM_FILE
    if not path.is_file():
        raise UserError(f"{folder} is not a film's folder, it has no {FILM_FILE}; `page4d predict --window` makes one")
    try:
        stored = json_of(path)
        version, meta, finished = stored["format"], dict(stored["meta"]), bool(stored["finished"])
        moves = [Move.of(move) for move in stored.get("moves", [])]
        frames = None if stored.get("frames") is None else int(stored["frames"])
        check_meta(meta)
    except (OSError, *MALFORMED) as error:
        raise UserError(f"{path} is damaged ({error}); predict again") from error
    if version not in FILM_FORMATS:
        known = " and ".join(map(str, FILM_FORMATS))
        raise UserError(f"{path} has film format {version}, this page4d reads {known}; predict again")
    return {"meta": meta, "finished": finished, "moves": moves, "frames": frames}


def write_film_file(
    folder: Path, meta: Mapping[str, Any], finished: bool, moves: Sequence[Move] = (), frames: int | None = None
) -> None:
    """Say what a film is made with, whether all of it is there, of how many frames, and where loops moved its parts."""
    stored: dict[str, Any] = {"format": 2 if moves else 1, "finished": finished, "meta": dict(meta)}
    if frames is not None:
        stored["frames"] = frames
    if moves:
        stored["moves"] = [move.record() for move in moves]
    with atomic_write(folder / FILM_FILE, "w") as stream:
        json.dump(stored, stream, indent=1)


def part_path(folder: Path, first: int, frames: int) -> Path:
    """The file of so many frames from `first` on."""
    return folder / f"frames_{first:06d}_{first + frames - 1:06d}.npz"
