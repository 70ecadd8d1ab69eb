"""Numbers about the clips of a dataset: how much depth, which range, how cameras move, how well frames agree."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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


def _agreement(clips: Sequence[Clip]) -> dict[str, float]:
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
        "landed_share": sum(landed) / len(landed) if landed else 0.0,
        "agreeing_share": sum(agreeing) / len(agreeing) if agreeing else 0.0,
        "reprojection_px": _median(cycle),
        "depth_error_relative": _median(depth),
        "colour_error": _median(colour),
    }


def _cameras(clips: Sequence[Clip]) -> dict[str, float | tuple[float, float]]:
    rotations = torch.cat([clip.cam_from_world[..., :3] for clip in clips]).double()
    identity = torch.eye(3, dtype=torch.float64)
    size = torch.tensor([clips[0].depth.shape[2], clips[0].depth.shape[1]], dtype=torch.float64)
    K = torch.cat([clip.K for clip in clips]).double()
    focal, centre = K[:, [0, 1], [0, 1]], K[:, :2, 2]
    changes = [clip.K[:, 0, 0] / clip.K[0, 0, 0] - 1 for clip in clips]
    spread = max(float(change.abs().max()) for change in changes)
    mean_focal = (focal / size).mean(0)
    mean_centre = ((centre + 0.5) / size).mean(0)
    half_fov = torch.atan(0.5 / mean_focal[0])
    off_rotation = rotations @ rotations.mT - identity
    return {
        "rotation_error": float(off_rotation.abs().max()),
        "focal": (float(mean_focal[0]), float(mean_focal[1])),
        "centre": (float(mean_centre[0]), float(mean_centre[1])),
        "fov_deg": float(torch.rad2deg(2 * half_fov)),
        "focal_ratio": float((focal[:, 0] / focal[:, 1]).mean()),
        "focal_change": spread,
        "skew": float(K[:, 0, 1].abs().max()),
    }


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
    valid = torch.stack([clip.valid.double().mean((1, 2)).min() for clip in clips])
    steps = [_steps(clip) for clip in clips]
    numbers = [
        clip.images.isfinite().all() & clip.cam_from_world.isfinite().all() & clip.K.isfinite().all() for clip in clips
    ]
    return Measurements(
        clips=len(clips),
        frames=sum(len(clip) for clip in clips),
        valid_share=sum(float(clip.valid.double().mean()) for clip in clips) / len(clips),
        valid_share_least=float(valid.min()),
        depth_percentiles=_percentiles(clips),
        step=_median([float(s.median()) for s, _ in steps if len(s)]),
        turn_deg=_median([float(t.median()) for _, t in steps if len(t)]),
        jump=max((_jump(s) for s, _ in steps), default=1.0),
        largest_turn_deg=max((float(t.max()) for _, t in steps if len(t)), default=0.0),
        dullest_image=min(float(clip.images.flatten(1).std(dim=1).min()) for clip in clips),
        finite=all(bool(n) for n in numbers),
        **_agreement(clips),  # type: ignore[arg-type]
        **_cameras(clips),  # type: ignore[arg-type]
    )
