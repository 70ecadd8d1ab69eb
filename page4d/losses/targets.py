"""What a loss compares a prediction with, and the settings that all terms share."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal, Self

import torch
from torch import Tensor

from page4d.data.normalization import Behaviour, check_behaviour
from page4d.schema import UserError

__all__ = [
    "LARGEST", "MIN_VALID_PIXELS", "Behaviour", "Targets", "bounded", "check_behaviour", "discounts", "mean_where",
    "nan_to_zero", "zero_of",
]  # fmt: skip

# Residuals and loss values are cut here, in the unit of the batch (mean point distance 1 after normalization).
LARGEST = 100.0
# So few pixels fix no scale: a sequence's for the camera loss; for the public dense losses a whole batch's.
MIN_VALID_PIXELS = 100


@dataclass(frozen=True)
class Targets:
    """The ground truth of a batch, after normalization.

    Shapes:  extrinsics (B, S, 3, 4) camera from first camera; intrinsics (B, S, 3, 3); depth, valid (B, S, H, W);
             world_points (B, S, H, W, 3); drop_pose, drop_geometry (B,) bool; tracks (B, S, N, 2);
             tracks_visible (B, S, N) bool.
    Units:   lengths in the mean point distance of the sequence; intrinsics and tracks in pixels.
    Frame:   OpenCV; points are in the first camera.
    Note:    drop_pose and drop_geometry mark samples whose poses or depths are not to be trusted.
    """

    extrinsics: Tensor
    intrinsics: Tensor
    depth: Tensor
    world_points: Tensor
    valid: Tensor
    drop_pose: Tensor | None = None
    drop_geometry: Tensor | None = None
    tracks: Tensor | None = None
    tracks_visible: Tensor | None = None

    def __post_init__(self) -> None:
        b, s, h, w = self.depth.shape
        wanted = {
            "extrinsics": (b, s, 3, 4),
            "intrinsics": (b, s, 3, 3),
            "world_points": (b, s, h, w, 3),
            "valid": (b, s, h, w),
            "drop_pose": (b,),
            "drop_geometry": (b,),
        }
        for name, shape in wanted.items():
            value = getattr(self, name)
            if value is not None and tuple(value.shape) != shape:
                raise UserError(f"Targets: {name} has shape {tuple(value.shape)}, expected {shape} to match the depth")

    @property
    def image_hw(self) -> tuple[int, int]:
        """Height and width of the images in pixels."""
        return int(self.depth.shape[-2]), int(self.depth.shape[-1])

    def at_frames(self, chosen: slice) -> Self:
        """The truth of some of the frames."""
        names = ("extrinsics", "intrinsics", "depth", "world_points", "valid", "tracks", "tracks_visible")
        values = {name: getattr(self, name) for name in names}
        return replace(self, **{name: v[:, chosen] for name, v in values.items() if v is not None})

    def dropped(self, which: Literal["pose", "geometry"]) -> Tensor:
        """The samples without usable poses or geometry: bool (B,)."""
        flag = self.drop_pose if which == "pose" else self.drop_geometry
        return torch.zeros_like(self.valid[:, 0, 0, 0]) if flag is None else flag.bool()


def nan_to_zero(x: Tensor, limit: float | None = LARGEST) -> Tensor:
    """NaN and infinities become 0, the rest is cut to [-limit, limit]: what the public code does to every value."""
    x = torch.nan_to_num(x, nan=0.0, posinf=0.0, neginf=0.0)
    return x if limit is None else x.clamp(-limit, limit)


def bounded(x: Tensor, behaviour: Behaviour) -> Tensor:
    """Residuals or loss values cut to [-LARGEST, LARGEST].

    Note:    public: NaN and infinities become 0. Ours lets NaN through: the trainer must see a broken prediction.
    """
    return nan_to_zero(x) if behaviour == "public" else x.clamp(-LARGEST, LARGEST)


def discounts(gamma: float, stages: int) -> list[float]:
    """What each of so many iterations counts, the last one 1."""
    return [gamma ** (stages - 1 - k) for k in range(stages)]


def mean_where(x: Tensor, counted: Tensor) -> Tensor:
    """Mean of the elements that count, 0 (with a graph) if none does.

    Note:    choosing by a mask, not by an index: on a GPU the host need not wait to learn how many there are.
    """
    total = torch.where(counted, x, torch.zeros_like(x)).sum()
    return total / counted.sum().clamp(min=1)


def zero_of(x: Tensor) -> Tensor:
    """A zero that hangs on the graph of `x`, so that every process has a gradient for every parameter."""
    return (0.0 * x).mean()
