"""Do depth, poses and pictures of a clip tell one story, and if not, which known mistake would make them?

Static pixels are lifted from one frame, carried into another and compared there with its depth and its colours. The
share that agrees is the score. The score is computed for the data as they are and under every hypothesis of a usual
mistake (poses inverted, camera axes flipped, depth scaled against the poses, depth paired with another frame): a
hypothesis that explains the data much better than the data themselves names the mistake.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from page4d.geometry import compose, invert, project, transform, unproject
from page4d.schema import Clip

DEPTH_TOLERANCE = 0.03
COLOUR_TOLERANCE = 0.12
MAX_PIXELS = 1000
AXES = "xyz"


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: on these small arrays more threads gain nothing, and on a busy machine they cost much."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _rounded(factor: float) -> str:
    """Two digits, written out: 960 for 958, 7.5 for 7.46."""
    return f"{float(f'{factor:.2g}'):g}"


@dataclass(frozen=True)
class Hypothesis:
    """What may have happened to the data; the default is nothing.

    Fields:  inverted: world from camera was given for camera from world; flipped: camera axes that point the other
             way; depth_scale: how many times too large depth is, measured by the poses; depth_shift: how many frames
             late the depth maps are paired (the map of frame i + depth_shift stands at i).
    """

    inverted: bool = False
    flipped: tuple[int, ...] = ()
    depth_scale: float = 1.0
    depth_shift: int = 0

    def __str__(self) -> str:
        words = []
        if self.inverted:
            words.append("the poses are inverted (world from camera instead of camera from world)")
        if self.flipped:
            names = ", ".join(AXES[axis] for axis in self.flipped)
            usual = " (OpenGL axes instead of OpenCV)" if self.flipped == (1, 2) else ""
            words.append(f"the camera axes {names} are flipped{usual}")
        if self.depth_scale > 1:
            words.append(f"depth is about {_rounded(self.depth_scale)} times too large for the poses")
        if self.depth_scale < 1:
            words.append(f"depth is about {_rounded(1 / self.depth_scale)} times too small for the poses")
        if self.depth_shift:
            far = abs(self.depth_shift)
            when = "early" if self.depth_shift > 0 else "late"
            words.append(f"depth maps stand {far} frame{'s' if far > 1 else ''} {when}")
        return " and ".join(words) or "nothing is wrong"

    def undo_poses(self, cam_from_world: Tensor) -> Tensor:
        """Poses (S, 3, 4) as they would be without the mistake."""
        poses = invert(cam_from_world) if self.inverted else cam_from_world
        sign = poses.new_tensor([-1.0 if axis in self.flipped else 1.0 for axis in range(3)])
        return sign[:, None] * poses


NOTHING = Hypothesis()
FLIPS = [tuple(a for a in range(3) if code >> a & 1) for code in range(1, 8)]
POSE_MISTAKES = [Hypothesis(inverted=True)] + [
    Hypothesis(inverted=inverted, flipped=flip)
    for inverted in (False, True)
    for flip in sorted(FLIPS, key=lambda f: (f != (1, 2), len(f), f))
]
SCALE_MISTAKES = [Hypothesis(depth_scale=2.0 ** (k / 2)) for k in range(-22, 23) if k]
SHIFT_MISTAKES = [Hypothesis(depth_shift=k) for k in (1, -1, 2, -2)]


def frame_pairs(frames: int) -> list[tuple[int, int]]:
    """Pairs of frames to compare: neighbours and wider ones, both ways, at most about a dozen."""
    pairs = []
    for gap in sorted({1, max(1, frames // 3), max(1, frames - 1)}):
        starts = sorted({0, (frames - gap) // 2, frames - gap - 1})
        pairs += [(a, a + gap) for a in starts if a >= 0 and a + gap < frames]
    return pairs + [(b, a) for a, b in pairs]


def shift_depth(clip: Clip, shift: int) -> Clip:
    """The clip with the depth map of frame i - shift at frame i; frames that have no partner are dropped."""
    kept = slice(max(0, shift), len(clip) + min(0, shift))
    source = slice(max(0, -shift), len(clip) + min(0, -shift))
    return Clip(
        images=clip.images[kept],
        depth=clip.depth[source],
        cam_from_world=clip.cam_from_world[kept],
        K=clip.K[kept],
        frame_numbers=clip.frame_numbers[kept],
        moving=None if clip.moving is None else clip.moving[kept],
    )


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
    height, width = clip.depth.shape[1:]
    pixels = torch.nan_to_num(pixels, nan=-9.0, posinf=-9.0, neginf=-9.0).clamp(-9, 1e6)
    nearest = pixels.round().long()
    inside = (z > 0) & (nearest >= 0).all(-1) & (nearest[..., 0] < width) & (nearest[..., 1] < height)
    x, y = nearest[..., 0].clamp(0, width - 1), nearest[..., 1].clamp(0, height - 1)
    there = clip.depth[b].double()[y, x] / scale
    colours = clip.images[a][:, rows, columns].T.double()
    return Carried(
        landed=inside & (there > 0) & there.isfinite(),
        depth_error=(z - there).abs() / torch.maximum(z, there).clamp(min=1e-12),
        colour_error=(_sample(clip.images[b], pixels) - colours).abs().mean(-1),
    )


@one_thread()
def scores(clips: Sequence[Clip], mistakes: Sequence[Hypothesis]) -> list[float]:
    """For each hypothesis the share of static pixels that agree if it is undone, mean over clips and frame pairs."""
    totals = torch.zeros(len(mistakes), dtype=torch.float64)
    counts = torch.zeros_like(totals)
    for shift in sorted({one.depth_shift for one in mistakes}):
        chosen = [m for m, one in enumerate(mistakes) if one.depth_shift == shift]
        for clip in clips:
            shifted = shift_depth(clip, shift)
            for a, b in frame_pairs(len(shifted)):
                agree = carry(shifted, a, b, [mistakes[m] for m in chosen]).agree
                if agree.shape[1]:
                    totals[chosen] += agree.double().mean(1)
                    counts[chosen] += 1
    return (totals / counts.clamp(min=1)).tolist()


def edge_alignment(clips: Sequence[Clip], shift: int) -> float:
    """Mean image gradient along the depth edges of the maps `shift` frames on, over that of all pixels."""
    ratios = []
    for clip in clips:
        fixed = shift_depth(clip, shift)
        edges, gradients = depth_edges(fixed.depth), image_gradient(fixed.images)
        ratios += [
            (gradient[edge].mean() / gradient.mean().clamp(min=1e-6)).item()
            for edge, gradient in zip(edges, gradients, strict=True)
            if edge.sum() > 10
        ]
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
