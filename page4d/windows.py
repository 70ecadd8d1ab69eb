"""Long films in windows: which frames each window holds, and the window join, which brings two into one world.

Two windows say different things of the frames they share: another scale, another world, and each its own noise.
A least-squares similarity is the wrong tool there: its scale is divided by the variance of the noisy source, so that
it shrinks with every join, and a few points five times too far away end it. So the scale is the median of the depth
ratios, which noise on both sides leaves where it is, and the rigid motion is fitted with weights that outliers lose.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from page4d.geometry import Similarity, fit_similarity, invert, nearest_rotation, transform, unproject_pixels
from page4d.measured import is_measured
from page4d.result.placed import moved
from page4d.robust import robust_weights, weighted_median
from page4d.schema import Prediction, UserError, concatenated

MAX_POINTS = 50_000  # of one join; more change the median by less than a thousandth
ROUNDS = 12  # of reweighting; it settles in about six
AGREES = 0.2  # of its depth: how far a point of one window may lie from its place in the other
LEAST_AGREEING_SHARE = 0.1  # share of the points that must, or the cameras alone join the windows
WARN_RESIDUAL = 0.1  # of depth


@dataclass(frozen=True)
class Windows:
    """Long clips in parts: `frames` at a time, each part sharing `overlap` frames with the one before.

    Note:    parts are joined one after the other, so errors of scale and pose add up along the clip; one pass over all
             frames is better wherever it fits into memory. With `loops` places that the camera comes back to are
             looked for, and what does not fit there is shared out over all joins (`page4d.loops`).
    """

    frames: int = 32
    overlap: int = 4
    loops: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.overlap < self.frames:
            raise UserError(
                f"windows of {self.frames} frames with overlap {self.overlap}; expected 0 < overlap < frames"
            )

    @property
    def step(self) -> int:
        """Frames from the start of one window to the start of the next."""
        return self.frames - self.overlap

    def starts(self, total: int) -> list[int]:
        """First frames of the windows over `total` frames; the last window ends with the clip."""
        last = max(total - self.frames, 0)
        return [*range(0, last, self.step), last]

    def new_frames(self, total: int) -> list[range]:
        """The frames of `total` that each window adds to those before it."""
        ends = [0, *(min(start + self.frames, total) for start in self.starts(total))]
        return [range(begin, end) for begin, end in itertools.pairwise(ends)]

    def record(self) -> dict[str, Any]:
        """What a Prediction's meta says of it; loops only where they were asked for."""
        return {name: value for name, value in asdict(self).items() if name != "loops" or value}


@dataclass(frozen=True)
class Join:
    """How a window was brought into the world of the ones before.

    Units:   residual is the median distance of a shared point from its place in the other window, as share of its
             depth; agreement is the share of points within a fifth of their depth.
    Note:    `by` is "points", or "cameras" where the points did not agree.
    """

    start: int
    similarity: Similarity
    residual: float
    agreement: float
    by: str

    def record(self) -> dict[str, Any]:
        """What a Prediction's meta says of it."""
        residual = None if math.isnan(self.residual) else round(self.residual, 6)
        scale, agreement = round(float(self.similarity.scale), 6), round(self.agreement, 6)
        return {"start": self.start, "by": self.by, "scale": scale, "residual": residual, "agreement": agreement}


class Joiner:
    """Brings windows, one after the other, into the world and scale of the first.

    Only the frames that a later window can share are kept, as many as the `longest` window has, so that a film of any
    length takes the same memory.
    """

    def __init__(self, longest: int) -> None:
        self.longest = longest
        self.joins: list[Join] = []
        self._tail: Prediction | None = None
        self._end = 0

    def add(self, part: Prediction, start: int) -> Prediction:
        """The new frames of a window that begins at frame `start`; a shared frame keeps its first window's values."""
        part, shared = _make_contiguous(part), self._end - start
        if self._tail is None:
            new = part
        else:
            join = join_of(self._tail[len(self._tail) - shared :], part[:shared], start)
            self.joins.append(join)
            new = moved(part[shared:], join.similarity)
        self._end = start + len(part)
        kept = new if self._tail is None else concatenated((self._tail, new))
        self._tail = kept[max(len(kept) - self.longest, 0) :]
        return new

    def resume(self, tail: Prediction, end: int) -> None:
        """Go on behind frame `end` of an earlier run, whose last frames, already joined, are `tail`."""
        kept = tail[max(len(tail) - self.longest, 0) :]
        self._tail, self._end = _make_contiguous(kept), end


def _make_contiguous(part: Prediction) -> Prediction:
    """The same numbers row by row in memory: a product of matrices may end in other last bits where rows lie apart.

    Note:    so a window joins the same way whether what came before was just predicted or read from a file.
    """
    ordered: dict[str, Any] = {}
    for field in fields(part):
        values = getattr(part, field.name)
        if isinstance(values, np.ndarray):
            ordered[field.name] = np.ascontiguousarray(values)
    return replace(part, **ordered)


def warn_of_joins(records: Sequence[Mapping[str, Any]]) -> None:
    """Say once where windows do not fit together; `records` are those of `Join.record`."""
    bad = [join for join in records if join["by"] == "cameras" or join["residual"] > WARN_RESIDUAL]
    if not bad:
        return
    worst = max(bad, key=lambda join: math.inf if join["residual"] is None else float(join["residual"]))
    alone = sum(join["by"] == "cameras" for join in bad)
    cameras = f"; {alone} of them by their cameras alone, for their points do not agree" if alone else ""
    apart = "no point is shared" if worst["residual"] is None else f"points lie {worst['residual']:.0%} of depth apart"
    warnings.warn(
        f"{len(bad)} of {len(records)} windows fit badly onto the ones before{cameras}; worst at frame "
        f"{worst['start']}, where {apart}: take longer windows or a larger overlap",
        stacklevel=3,
    )


def join_windows(parts: Sequence[Prediction], starts: Sequence[int], meta: dict[str, Any]) -> Prediction:
    """Bring each window into the world and scale of the ones before; a shared frame keeps its first window's values.

    Note:    `meta["joins"]` says of every join how well it fits; a warning names those that do not.
    """
    joiner = Joiner(max(len(part) for part in parts))
    joined = [joiner.add(part, start) for part, start in zip(parts, starts, strict=True)]
    records = [join.record() for join in joiner.joins]
    warn_of_joins(records)
    return replace(concatenated(joined), meta=meta | ({"joins": records} if records else {}))


def join_of(before: Prediction, part: Prediction, start: int = 0) -> Join:
    """The window join: the similarity from the world of `part` to that of `before`, predictions of the same frames.

    Note:    of the points that both windows see, lifted from depth, the half that is more confident in both counts, by
             its confidence; the frames are the same instants, so moving things do no harm. Where fewer than a tenth of
             the points agree, rotation and translation come from the two windows' cameras.
    Source:  iteratively reweighted least squares with the weights of Geman and McClure (1987).
    """
    shared = _shared_points(before, part)
    if len(shared.ratio) < 3:
        return Join(start, _by_cameras(before, part, torch.ones((), dtype=torch.float64)), float("nan"), 0.0, "cameras")
    scale = weighted_median(shared.ratio, shared.weight)
    by_points = _robust_rigid(shared, scale)
    if by_points is not None:
        residual, agreement = _misfit(by_points, shared)
        if agreement >= LEAST_AGREEING_SHARE:
            return Join(start, by_points, residual, agreement, "points")
    by_cameras = _by_cameras(before, part, scale)
    return Join(start, by_cameras, *_misfit(by_cameras, shared), "cameras")


@dataclass(frozen=True)
class _SharedPoints:
    """The same N points in the worlds of two windows.

    Shapes:  local, known (N, 3) in the later and the earlier window's world; ratio (N,) of the earlier to the later
             depth; depth (N,), the earlier one; weight (N,) from the confidences.
    """

    local: Tensor
    known: Tensor
    ratio: Tensor
    depth: Tensor
    weight: Tensor


def _shared_points(before: Prediction, part: Prediction) -> _SharedPoints:
    confidence = np.nan_to_num(np.minimum(before.depth_conf, part.depth_conf), nan=0.0)
    usable = is_measured(before.depth) & is_measured(part.depth) & (confidence > 0)
    if usable.any():
        usable &= confidence >= np.median(confidence[usable])
    index = np.flatnonzero(usable)
    index = index[:: -(-len(index) // MAX_POINTS) or 1]
    known, depth = _lift_pixels(before, index)
    local, local_depth = _lift_pixels(part, index)
    weight = torch.from_numpy(confidence.ravel()[index]).double()
    return _SharedPoints(local, known, depth / local_depth, depth, weight)


def _lift_pixels(prediction: Prediction, index: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    """World points (N, 3) and depth (N,) of flat pixel indices over all frames."""
    frame, row, column = np.unravel_index(index, prediction.depth.shape)
    depth = torch.from_numpy(prediction.depth[frame, row, column]).double()
    K, pose = (torch.from_numpy(a[frame]).double() for a in (prediction.K, prediction.cam_from_world))
    pixel = torch.from_numpy(np.stack((column, row), -1)).double()
    local = unproject_pixels(pixel[:, None], depth[:, None], K)
    return transform(invert(pose), local)[:, 0], depth


def _robust_rigid(shared: _SharedPoints, scale: Tensor) -> Similarity | None:
    """Rotation and translation from the scaled points of the later window to those of the earlier one.

    Note:    None where the points lie on one line, so that they do not say how the windows are turned.
    """
    source = scale * shared.local
    # Noise of depth grows with depth, and a point that either window puts far away is worth less for both reasons.
    farther = torch.maximum(shared.depth, scale * shared.depth / shared.ratio)
    base = shared.weight / farther.square()
    weight = base
    for _ in range(ROUNDS):
        try:
            fit = fit_similarity(source, shared.known, with_scale=False, weights=weight)
        except ValueError:
            return None
        distance = (fit.apply(source) - shared.known).norm(dim=-1) / farther
        weight = base * robust_weights(distance, weighted_median(distance, base))
    return Similarity(scale, fit.rotation, fit.translation)


def _misfit(fit: Similarity, shared: _SharedPoints) -> tuple[float, float]:
    """Median distance as share of depth, and the share of points within `AGREES`."""
    distance = (fit.apply(shared.local) - shared.known).norm(dim=-1) / shared.depth
    return float(distance.median()), float((distance < AGREES).double().mean())


def _by_cameras(before: Prediction, part: Prediction, scale: Tensor) -> Similarity:
    """The mean over the shared frames of what takes a camera of the later window to the same one of the earlier."""
    known, local = (invert(torch.from_numpy(p.cam_from_world).double()) for p in (before, part))
    # The mean of rotations is the rotation nearest to their mean matrix.
    turns = known[:, :, :3] @ local[:, :, :3].mT
    rotation = nearest_rotation(turns.mean(0))
    translation = (known[:, :, 3] - scale * local[:, :, 3] @ rotation.mT).mean(0)
    return Similarity(scale, rotation, translation)
