"""Do depth, poses and pictures of a clip tell one story, and if not, which known mistake would make them?

Static pixels are lifted from one frame, carried into another and compared there with its depth and its colours. The
share that agrees is the score. The score is computed for the data as they are and under every hypothesis of a usual
mistake (poses inverted, camera axes flipped, quaternions read in another order, depth scaled against the poses, depth
or poses of another frame): a hypothesis that explains the data much better than the data themselves names the mistake.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from page4d.check.hypotheses import NOTHING, Hypothesis, steps_of
from page4d.geometry import compose, invert, project, transform, unproject
from page4d.measured import is_measured
from page4d.schema import Clip

DEPTH_TOLERANCE = 0.03
COLOUR_TOLERANCE = 0.12
MAX_PIXELS = 1000


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: on these small arrays more threads gain nothing, and on a busy machine they cost much."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def frame_pairs(frames: int) -> list[tuple[int, int]]:
    """Pairs of frames to compare: neighbours and wider ones, both ways, at most about a dozen."""
    pairs = []
    for gap in sorted({1, max(1, frames // 3), max(1, frames - 1)}):
        starts = sorted({0, (frames - gap) // 2, frames - gap - 1})
        pairs += [(a, a + gap) for a in starts if a >= 0 and a + gap < frames]
    return pairs + [(b, a) for a, b in pairs]


def _sample(image: Tensor, pixels: Tensor) -> Tensor:
    """Bilinear colours (M, N, 3) of an image (3, H, W) at pixels (M, N, 2)."""
    size = pixels.new_tensor([image.shape[-1], image.shape[-2]])
    grid = (pixels + 0.5) / size * 2 - 1
    sampled = F.grid_sample(image[None].to(pixels.dtype), grid[None], align_corners=False, padding_mode="border")
    return sampled[0].permute(1, 2, 0)


@dataclass(frozen=True)
class Carried:
    """Static pixels of frame a as they arrive in frame b, for M hypotheses.

    Shapes:  landed bool, depth_error and colour_error (M, N); error_px (M, N).
    Units:   depth_error is relative to the larger of both; colour_error in [0, 1].
    """

    landed: Tensor
    depth_error: Tensor
    colour_error: Tensor

    @property
    def agree(self) -> Tensor:
        """Pixels that agree in depth and in colour: bool (M, N)."""
        return self.landed & (self.depth_error < DEPTH_TOLERANCE) & (self.colour_error < COLOUR_TOLERANCE)


def static_pixels(clip: Clip, frame: int) -> tuple[Tensor, Tensor]:
    """Rows and columns of up to MAX_PIXELS measured pixels of a frame that do not move, evenly spread."""
    usable = clip.valid[frame] if clip.moving is None else clip.valid[frame] & ~clip.moving[frame]
    rows, columns = usable.nonzero(as_tuple=True)
    step = -(-len(rows) // MAX_PIXELS) or 1
    return rows[::step], columns[::step]


def carry(clip: Clip, a: int, b: int, mistakes: Sequence[Hypothesis] = (NOTHING,)) -> Carried:
    """Carry static pixels of frame a into frame b under each hypothesis; shifts of depth are not looked at."""
    rows, columns = static_pixels(clip, a)
    pair = clip.cam_from_world[[a, b]].double()
    poses = torch.stack([one.undo_poses(pair) for one in mistakes])
    scale = poses.new_tensor([one.depth_scale for one in mistakes])[:, None]
    K = clip.K.double()
    points = unproject(clip.depth[a].double(), K[a])[rows, columns] / scale[..., None]
    moved = transform(compose(poses[:, 1], invert(poses[:, 0])), points)
    pixels, z = project(moved, K[b].expand(len(mistakes), 3, 3))
    pixels = countable(pixels)
    x, y, inside = nearest_pixels(pixels, clip.depth.shape[1:])
    there = clip.depth[b].double()[y, x] / scale
    # A pixel that lands says nothing if the other frame measured nothing there.
    measured = is_measured(there)
    farther = torch.maximum(z, there).clamp(min=1e-12)
    colours = clip.images[a][:, rows, columns].T.double()
    difference = _sample(clip.images[b], pixels) - colours
    return Carried(
        landed=inside & (z > 0) & measured,
        depth_error=(z - there).abs() / farther,
        colour_error=difference.abs().mean(-1),
    )


def countable(pixels: Tensor) -> Tensor:
    """Pixels that can be rounded to whole numbers: those that are nowhere go to the left and above of the image."""
    return torch.nan_to_num(pixels, nan=-9.0, posinf=-9.0, neginf=-9.0).clamp(-9, 1e6)


def nearest_pixels(pixels: Tensor, size: Sequence[int]) -> tuple[Tensor, Tensor, Tensor]:
    """Column and row of the nearest pixel in an image of this height and width, and whether it lies inside."""
    height, width = size
    x, y = pixels.round().long().unbind(-1)
    inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
    return x.clamp(0, width - 1), y.clamp(0, height - 1), inside


@one_thread()
def scores(clips: Sequence[Clip], mistakes: Sequence[Hypothesis]) -> list[float]:
    """For each hypothesis the share of static pixels that agree if it is undone, mean over clips and frame pairs.

    Note:    shifts are not undone here, see `shift_gain`.
    """
    totals = torch.zeros(len(mistakes), dtype=torch.float64)
    count = 0
    for clip in clips:
        for a, b in frame_pairs(len(clip)):
            agree = carry(clip, a, b, mistakes).agree
            if agree.shape[1]:
                totals += agree.double().mean(1)
                count += 1
    return (totals / max(1, count)).tolist()


class Gain(NamedTuple):
    """How much more of the static pixels agree if a shift is undone, and the standard error of that number."""

    more: float
    error: float


@one_thread()
def shift_gain(clips: Sequence[Clip], one: Hypothesis) -> Gain | None:
    """What undoing a shift of depth maps or poses gains; None if no clip can be shifted by so many frames.

    Note:    every frame pair is compared with itself as it is: frames that a shift costs at the ends of a clip count
             on neither side. A clip whose frames lie n apart can be shifted by multiples of n only.
    """
    gains = []
    for clip, step in zip(clips, steps_of(clips), strict=True):
        if step == 0 or one.shift % step or len(clip) < abs(one.shift // step) + 2:
            continue
        undone, as_is = one.undo_shift(clip, one.shift // step)
        # One way only: the way back says nearly the same, and would make the error look smaller than it is.
        for a, b in (pair for pair in frame_pairs(len(undone)) if pair[0] < pair[1]):
            before, after = carry(as_is, a, b).agree, carry(undone, a, b).agree
            if before.shape[1] and after.shape[1]:
                gains.append(float(after.double().mean() - before.double().mean()))
    if not gains:
        return None
    if len(gains) == 1:
        return Gain(gains[0], math.inf)
    spread = torch.tensor(gains, dtype=torch.float64)
    return Gain(float(spread.mean()), float(spread.std() / len(gains) ** 0.5))


def edge_alignment(clips: Sequence[Clip], shift: int) -> float:
    """Mean image gradient along the depth edges of the maps `shift` frames on, over that of all pixels."""
    ratios = []
    for clip in (one for one in clips if len(one) > abs(shift)):
        fixed, _ = Hypothesis(depth_shift=shift).undo_shift(clip, shift)
        edges, gradients = depth_edges(fixed.depth), image_gradient(fixed.images)
        for edge, gradient in zip(edges, gradients, strict=True):
            if edge.sum() > 10:
                typical = gradient.mean().clamp(min=1e-6)
                ratios.append(float(gradient[edge].mean() / typical))
    return sum(ratios) / len(ratios) if ratios else 0.0


def image_gradient(images: Tensor) -> Tensor:
    """Length of the grey-value gradient (S, H, W), central differences, 0 at the border."""
    grey = images.mean(1)
    x, y = torch.zeros_like(grey), torch.zeros_like(grey)
    x[:, :, 1:-1] = (grey[:, :, 2:] - grey[:, :, :-2]).abs()
    y[:, 1:-1] = (grey[:, 2:] - grey[:, :-2]).abs()
    return x.maximum(y)


def depth_edges(depth: Tensor, ratio: float = 1.15) -> Tensor:
    """Pixels at which neighbouring measurements differ by more than a factor: bool (S, H, W)."""
    edges = torch.zeros_like(depth, dtype=torch.bool)
    for axis in (1, 2):
        n = depth.shape[axis]
        a, b = depth.narrow(axis, 0, n - 1), depth.narrow(axis, 1, n - 1)
        jump = (a > 0) & (b > 0) & (torch.maximum(a, b) > ratio * torch.minimum(a, b))
        edges.narrow(axis, 0, n - 1).logical_or_(jump)
        edges.narrow(axis, 1, n - 1).logical_or_(jump)
    return edges
