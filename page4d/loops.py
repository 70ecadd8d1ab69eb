"""Loops of a long film: places that the camera comes back to, and the film with what does not fit there shared out.

Windows are joined one after the other, so errors add up along the film. Where the camera sees a place again, a small
window with frames of both visits is predicted, which says how the two ends lie to each other; the joins and the loops
together are more than the film needs, and the placement of all windows that fits them best is the corrected film.

A place is proposed by how alike two small grey pictures are, which costs next to nothing and often errs. So it is
believed only if the mixed window's own geometry takes what one visit saw to where the other sees the same: depth and
picture both have to agree, and either visit has to fit the film.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from page4d.geometry import Similarity, invert, project, transform, unproject_pixels
from page4d.measured import is_measured
from page4d.moves import Move
from page4d.result.placed import move_of
from page4d.result.pose_graph import Edge, after, inverse, optimized, similarity_between
from page4d.schema import Prediction, concatenated
from page4d.windows import AGREES, Windows, join_of

SMALL_WH = (16, 12)  # of the picture by which a place is found again
ALIKE = 0.6  # correlation of two small pictures from which on a mixed window is worth its time
LEAST_FRAMES = 4  # of either visit in the mixed window
# What has to agree before a loop is believed, as shares of the pixels of one visit and as correlation of grey values.
LEAST_SEEN = 0.3
LEAST_DEPTH = 0.6
LEAST_PICTURE = 0.6
SURE = 0.01  # of depth: a join is not taken to be better than this, whatever it says of itself
UNSURE = 1.0  # a join by cameras alone that says nothing

# Predicts a mixed window: frames of one visit and of the other, whose pictures are in their Predictions.
Mixed = Callable[[Prediction, Prediction], Prediction]


class Film(Protocol):
    """A Prediction, or one that is read from its folder a few frames at a time."""

    def __len__(self) -> int: ...

    def __getitem__(self, frames: slice, /) -> Prediction: ...


@dataclass(frozen=True)
class Candidate:
    """Two frames far apart in the film whose pictures are alike, and the windows that they came with."""

    frames: tuple[int, int]
    windows: tuple[int, int]
    alike: float


@dataclass(frozen=True)
class Agreement:
    """How far a mixed window bears out that two frames show one place.

    Units:   seen is the share of one frame's points that lie in the other's picture; depth the share of these at the
             depth that the other says, within a fifth; picture the correlation of grey values there.
    """

    seen: float
    depth: float
    picture: float

    @property
    def holds(self) -> bool:
        """Whether it is enough to believe in the loop."""
        return self.seen >= LEAST_SEEN and self.depth >= LEAST_DEPTH and self.picture >= LEAST_PICTURE


@dataclass(frozen=True)
class Loop:
    """A candidate that was looked at, and where it holds what takes the later visit to where the earlier one was.

    Units:   residual as of `page4d.windows.Join`, the worse of the two visits.
    """

    candidate: Candidate
    agreement: Agreement
    residual: float
    earlier_from_later: Similarity | None

    def record(self) -> dict[str, Any]:
        """What a film's meta says of it."""
        seen = self.agreement
        shares = {"alike": self.candidate.alike, "seen": seen.seen, "depth": seen.depth, "picture": seen.picture}
        closed = self.earlier_from_later is not None
        return {"frames": list(self.candidate.frames), "closed": closed} | {k: round(v, 4) for k, v in shares.items()}


def loops_of(film: Film, windows: Windows, mixed: Mixed) -> list[Loop]:
    """Every candidate of a joined film, looked at by a mixed window.

    Note:    one candidate for each window at most, so that the time grows with the film's length and not with its
             square; of the film one window is in memory, and a small picture of every frame.
    """
    parts = windows.new_frames(len(film))
    small = [small_pictures(film[part.start : part.stop].images) for part in parts]
    count = max(LEAST_FRAMES, windows.overlap)
    return [_examine(film, found, parts, count, mixed) for found in candidates(small, parts, 2 * windows.frames)]


def moves_of(film: Film, windows: Windows, joins: Sequence[Mapping[str, Any]], loops: Sequence[Loop]) -> list[Move]:
    """What takes each window's new frames into the corrected world; nothing where no loop holds.

    Note:    `joins` are the records of `Join`, one for each window but the first. A window moves as a whole, so that
             within it everything stays as the network said; a step between two is the error that their join takes over.
    """
    held = [loop for loop in loops if loop.earlier_from_later is not None]
    if not held:
        return []
    nodes = [_node(film[part.start : part.start + 1]) for part in windows.new_frames(len(film))]
    edges = [*_join_edges(nodes, joins), *(_loop_edge(nodes, loop) for loop in held)]
    placed = optimized(nodes, edges)
    return [move_of(after(new, inverse(old))) for new, old in zip(placed, nodes, strict=True)]


def with_loops_closed(
    film: Prediction, windows: Windows, joins: Sequence[Mapping[str, Any]], mixed: Mixed
) -> tuple[Prediction, list[Loop]]:
    """A film in memory, corrected; the same object where no loop holds."""
    loops = loops_of(film, windows, mixed)
    moves = moves_of(film, windows, joins, loops)
    if not moves:
        return film, loops
    parts = [film[part.start : part.stop] for part in windows.new_frames(len(film))]
    return concatenated([move(part) for move, part in zip(moves, parts, strict=True)]), loops


def small_pictures(images: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What a place is found again by: small grey pictures (S, 192), of mean 0 and length 1, 0 where all is one grey."""
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in images]
    small = [cv2.resize(picture, SMALL_WH, interpolation=cv2.INTER_AREA) for picture in grey]
    flat = np.stack(small).reshape(len(small), -1).astype(np.float32)
    flat -= flat.mean(1, keepdims=True)
    length = np.linalg.norm(flat, axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(length, 1e-6), np.float32)


def candidates(small: Sequence[NDArray[np.float32]], parts: Sequence[range], apart: int) -> Iterator[Candidate]:
    """For every window the most alike pair of one of its frames and one at least `apart` frames earlier, if any is."""
    for later, part in enumerate(parts):
        earlier = [number for number in range(later) if parts[number].stop + apart <= part.start]
        if not earlier:
            continue
        alike = small[later] @ np.concatenate([small[number] for number in earlier]).T
        own, other = np.unravel_index(int(alike.argmax()), alike.shape)
        if alike[own, other] < ALIKE:
            continue
        # Windows before this one lie in a row from frame 0 on, so the column is the frame's number.
        window = next(number for number in earlier if int(other) in parts[number])
        frames = int(other), part.start + int(own)
        yield Candidate(frames, (window, later), float(alike[own, other]))


def _examine(film: Film, found: Candidate, parts: Sequence[range], count: int, mixed: Mixed) -> Loop:
    """The candidate with what a mixed window says of it."""
    spans = [_around(frame, parts[window], count) for frame, window in zip(found.frames, found.windows, strict=True)]
    visits = [film[span.start : span.stop] for span in spans]
    said = mixed(visits[0], visits[1])
    split = len(visits[0])
    halves = said[:split], said[split:]
    one, other = (frame - span.start for frame, span in zip(found.frames, spans, strict=True))
    agreement = agreement_of(halves[0][one : one + 1], halves[1][other : other + 1])
    joins = [join_of(visit, half) for visit, half in zip(visits, halves, strict=True)]
    residual = max(join.residual for join in joins)
    fits = all(join.by == "points" and join.agreement >= LEAST_DEPTH for join in joins)
    if not (fits and agreement.holds):
        return Loop(found, agreement, residual, None)
    return Loop(found, agreement, residual, after(joins[0].similarity, inverse(joins[1].similarity)))


def _around(frame: int, part: range, count: int) -> range:
    """So many frames about one, all of its window."""
    start = min(max(frame - count // 2, part.start), max(part.stop - count, part.start))
    return range(start, min(start + count, part.stop))


def agreement_of(one: Prediction, other: Prediction) -> Agreement:
    """Whether what one frame sees lies where another frame of the same pass sees the same."""
    row, column = np.nonzero(_confident(one))
    nothing = Agreement(0.0, 0.0, 0.0)
    if len(row) == 0:
        return nothing
    pixel, depth = _in_other(one, other, row, column)
    height, width = one.size_hw
    in_picture = (pixel >= 0) & (pixel < (width, height))
    inside = in_picture.all(1) & (depth > 0)
    at_column, at_row = pixel[inside].T
    told = other.depth[0, at_row, at_column]
    agrees = np.abs(told - depth[inside]) < AGREES * depth[inside]
    if not agrees.any():
        return nothing
    grey = _grey(one)[row[inside], column[inside]][agrees]
    again = _grey(other)[at_row, at_column][agrees]
    return Agreement(float(inside.mean()), float(agrees.mean()), _correlation(grey, again))


def _confident(frame: Prediction) -> NDArray[np.bool_]:
    """The half of a frame's points that the network is surer of."""
    has: NDArray[np.bool_] = is_measured(frame.depth[0])
    if not has.any():
        return has
    sure = frame.depth_conf[0]
    confident: NDArray[np.bool_] = has & (sure >= np.median(sure[has]))
    return confident


def _in_other(
    one: Prediction, other: Prediction, row: NDArray[np.int64], column: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The nearest pixel (N, 2), x and y, and the depth (N,) of one frame's points in the other frame."""
    depth = torch.from_numpy(one.depth[0, row, column]).double()
    pixels = torch.from_numpy(np.stack((column, row), -1)).double()
    local = unproject_pixels(pixels, depth, torch.from_numpy(one.K[0]).double())
    world = transform(invert(torch.from_numpy(one.cam_from_world[0]).double()), local)
    seen = transform(torch.from_numpy(other.cam_from_world[0]).double(), world)
    xy, z = project(seen, torch.from_numpy(other.K[0]).double())
    # A point at the other camera's own place lies nowhere in its picture.
    xy = torch.nan_to_num(xy, nan=-1.0).clamp(-1, max(other.size_hw))
    return xy.round().long().numpy(), z.numpy()


def _grey(frame: Prediction) -> NDArray[np.float32]:
    """Grey values (H, W), blurred so far that a pixel's error of place does not count."""
    grey = cv2.cvtColor(frame.images[0], cv2.COLOR_RGB2GRAY).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(grey, (0, 0), frame.size_hw[1] / 100), np.float32)


def _correlation(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """0 where one of the two is of one grey."""
    if a.std() == 0 or b.std() == 0:
        return 0.0
    return float(np.corrcoef(a, b)[0, 1])


def _node(frame: Prediction) -> Similarity:
    """World from a window's first new camera, with the frame's usual depth as length: so errors are shares of depth."""
    world_from_cam = invert(torch.from_numpy(frame.cam_from_world[0]).double())
    known = frame.depth[is_measured(frame.depth)]
    length = float(np.median(known)) if len(known) else 1.0
    return Similarity(torch.tensor(length).double(), world_from_cam[:, :3], world_from_cam[:, 3])


def _join_edges(nodes: Sequence[Similarity], joins: Sequence[Mapping[str, Any]]) -> Iterator[Edge]:
    for number, join in enumerate(joins):
        seen = similarity_between(nodes[number], nodes[number + 1])
        told = join["by"] == "points" and join["residual"] is not None
        sigma = max(float(join["residual"]), SURE) if told else UNSURE
        yield Edge(number, number + 1, seen, sigma)


def _loop_edge(nodes: Sequence[Similarity], loop: Loop) -> Edge:
    assert loop.earlier_from_later is not None
    first, second = loop.candidate.windows
    later = after(loop.earlier_from_later, nodes[second])
    return Edge(first, second, similarity_between(nodes[first], later), max(loop.residual, SURE))
