"""Numbers about the clips of a dataset: how much depth, which range, how cameras move, how well frames agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from page4d.check.consistency import carry, countable, frame_pairs, nearest_pixels, one_thread, static_pixels
from page4d.geometry import compose, invert, project, relative_to_first, rotation_angle_deg, transform, unproject
from page4d.schema import Clip


@dataclass(frozen=True)
class Measurements:
    """What is measured over some clips of one dataset.

    Units:   shares from 0 to 1; depth in scene units; reprojection_px is the median distance at which a static pixel
             comes back after going to another frame and, by the depth there, back again; focal and centre are
             relative to the image (fx / width, fy / height, cx / width, cy / height); fov in degrees; steps per
             frame pair in scene units and degrees; a jump is the largest step over the median of its clip.
    """

    clips: int
    frames: int
    valid_share: float
    valid_share_least: float
    depth_percentiles: tuple[float, float, float]
    landed_share: float
    agreeing_share: float
    reprojection_px: float
    depth_error_relative: float
    colour_error: float
    step: float
    turn_deg: float
    jump: float
    largest_turn_deg: float
    rotation_error: float
    focal: tuple[float, float]
    centre: tuple[float, float]
    fov_deg: float
    focal_ratio: float
    focal_change: float
    skew: float
    dullest_image: float
    finite: bool

    @property
    def agreeing_of_landed(self) -> float:
        """Share of the static pixels in view of both frames that agree there, 0 if there are none."""
        return self.agreeing_share / self.landed_share if self.landed_share else 0.0


def _median(values: Sequence[float]) -> float:
    kept = [v for v in values if v == v]
    return float(torch.tensor(kept, dtype=torch.float64).median()) if kept else float("nan")


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def cycle_error_px(clip: Clip, a: int, b: int) -> float:
    """Median distance in pixels between static pixels of frame a and where they return from frame b by b's depth."""
    rows, columns = static_pixels(clip, a)
    K, poses = clip.K.double(), clip.cam_from_world.double()
    b_from_a = compose(poses[b], invert(poses[a]))
    points = unproject(clip.depth[a].double(), K[a])[rows, columns]
    pixels, z = project(transform(b_from_a, points), K[b])
    x, y, inside = nearest_pixels(countable(pixels), clip.depth.shape[1:])
    seen = inside & (z > 0)
    there = unproject(clip.depth[b].double(), K[b])[y[seen], x[seen]]
    # The nearest pixel is up to half a pixel away; carry that part of the distance along.
    offset = pixels[seen] - torch.stack((x, y), -1)[seen]
    back, _ = project(transform(invert(b_from_a), there), K[a])
    start = torch.stack((columns, rows), -1)[seen].double()
    distance = (back + offset - start).norm(dim=-1)[there[:, 2] > 0]
    return float(distance.median()) if len(distance) else float("nan")


def _steps(clip: Clip) -> tuple[Tensor, Tensor]:
    """Distance of neighbouring camera centres and the angles between neighbouring cameras."""
    poses = relative_to_first(clip.cam_from_world.double())
    centres = invert(poses)[..., 3]
    turns = compose(poses[1:], invert(poses[:-1]))[..., :3]
    return centres.diff(dim=0).norm(dim=-1), rotation_angle_deg(turns)


def _jump(steps: Tensor) -> float:
    typical = float(steps.median()) if len(steps) else 0.0
    return float(steps.max()) / typical if typical > 1e-6 else 1.0


def _agreement(clips: Sequence[Clip]) -> dict[str, Any]:
    landed, agreeing, depth, colour, cycle = [], [], [], [], []
    for clip in clips:
        for a, b in frame_pairs(len(clip)):
            carried = carry(clip, a, b)
            if carried.landed.shape[1] == 0:
                continue
            landed.append(float(carried.landed.double().mean()))
            agreeing.append(float(carried.agree.double().mean()))
            if carried.landed.any():
                depth.append(float(carried.depth_error[carried.landed].median()))
                colour.append(float(carried.colour_error[carried.landed].median()))
            cycle.append(cycle_error_px(clip, a, b))
    return {
        "landed_share": _mean(landed),
        "agreeing_share": _mean(agreeing),
        "reprojection_px": _median(cycle),
        "depth_error_relative": _median(depth),
        "colour_error": _median(colour),
    }


def _rotation_error(clips: Sequence[Clip]) -> float:
    """By how much a number of R R^T differs from the identity, at most."""
    rotations = torch.cat([clip.cam_from_world[..., :3] for clip in clips]).double()
    off_identity = rotations @ rotations.mT - torch.eye(3, dtype=torch.float64)
    return float(off_identity.abs().max())


def _cameras(clips: Sequence[Clip]) -> dict[str, Any]:
    size = torch.tensor([clips[0].depth.shape[2], clips[0].depth.shape[1]], dtype=torch.float64)
    K = torch.cat([clip.K for clip in clips]).double()
    focal, centre = K[:, [0, 1], [0, 1]], K[:, :2, 2]
    changes = [clip.K[:, 0, 0] / clip.K[0, 0, 0] - 1 for clip in clips]
    mean_focal = (focal / size).mean(0)
    mean_centre = ((centre + 0.5) / size).mean(0)
    fov = 2 * torch.atan(0.5 / mean_focal[0])
    ratio = focal[:, 0] / focal[:, 1]
    found: dict[str, Any] = {"rotation_error": _rotation_error(clips), "focal_ratio": float(ratio.mean())}
    found |= {"focal": _pair(mean_focal), "centre": _pair(mean_centre), "fov_deg": float(torch.rad2deg(fov))}
    found["focal_change"] = max(float(change.abs().max()) for change in changes)
    found["skew"] = float(K[:, 0, 1].abs().max())
    return found


def _pair(values: Tensor) -> tuple[float, float]:
    first, second = values.tolist()
    return first, second


def _percentiles(clips: Sequence[Clip]) -> tuple[float, float, float]:
    """Depth at 1, 50 and 99 % of the valid pixels, from at most about 100,000 of them; zeros if there are none."""
    depths = torch.cat([clip.depth[clip.valid] for clip in clips]).double()
    if not len(depths):
        return 0.0, 0.0, 0.0
    low, middle, high = torch.quantile(depths[:: len(depths) // 100_000 + 1], depths.new_tensor([0.01, 0.5, 0.99]))
    return float(low), float(middle), float(high)


@one_thread()
def measure(clips: Sequence[Clip]) -> Measurements:
    """Measure clips of one size; at least one is needed."""
    found: dict[str, Any] = {"clips": len(clips), "frames": sum(map(len, clips)), "finite": all(map(_is_finite, clips))}
    spreads = [clip.images.flatten(1).std(dim=1).min() for clip in clips]
    found |= {"dullest_image": float(min(spreads))}
    found |= _depth(clips) | _motion(clips) | _agreement(clips) | _cameras(clips)
    return Measurements(**found)


def _depth(clips: Sequence[Clip]) -> dict[str, Any]:
    shares = [clip.valid.double().mean((1, 2)) for clip in clips]
    least = min(float(share.min()) for share in shares)
    mean = _mean([float(share.mean()) for share in shares])
    return {"valid_share": mean, "valid_share_least": least, "depth_percentiles": _percentiles(clips)}


def _is_finite(clip: Clip) -> bool:
    return all(bool(values.isfinite().all()) for values in (clip.images, clip.cam_from_world, clip.K))


def _motion(clips: Sequence[Clip]) -> dict[str, Any]:
    """How cameras move from frame to frame; clips of one frame say nothing."""
    moves = [_steps(clip) for clip in clips if len(clip) > 1]
    usual = [float(steps.median()) for steps, _ in moves]
    turns = [float(angles.median()) for _, angles in moves]
    largest = [float(angles.max()) for _, angles in moves]
    jumps = [_jump(steps) for steps, _ in moves]
    found = {"step": _median(usual), "turn_deg": _median(turns)}
    return found | {"jump": max(jumps, default=1.0), "largest_turn_deg": max(largest, default=0.0)}
