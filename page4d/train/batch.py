"""What a training step reads: clips of one shape stacked, and the targets made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor

from page4d.data.normalization import normalize
from page4d.geometry import world_points
from page4d.losses import Behaviour, Targets
from page4d.measured import is_measured
from page4d.model.mask import true_mask
from page4d.schema import Clip, UserError
from page4d.train.settings import AidConfig

STACKED = ("images", "depth", "cam_from_world", "K")
OPTIONAL = ("moving", "flow", "tracks", "tracks_visible")


@dataclass(frozen=True)
class TrainBatch:
    """B clips of S frames of one size.

    Shapes:  images (B, S, 3, H, W); depth, moving (B, S, H, W); cam_from_world (B, S, 3, 4); K (B, S, 3, 3);
             flow (B, S - 1, H, W, 2); tracks (B, S, N, 2); tracks_visible (B, S, N).
    Units:   as in Clip; depth 0 or not finite is no measurement.
    """

    images: Tensor
    depth: Tensor
    cam_from_world: Tensor
    K: Tensor
    names: tuple[str, ...]
    dataset: str
    moving: Tensor | None = None
    flow: Tensor | None = None
    tracks: Tensor | None = None
    tracks_visible: Tensor | None = None

    @property
    def valid(self) -> Tensor:
        """Pixels with a measured, finite depth: bool (B, S, H, W)."""
        return is_measured(self.depth)

    def __len__(self) -> int:
        return int(self.images.shape[0])

    def to(self, device: torch.device | str) -> Self:
        """The same batch on a device."""
        values: dict[str, Any] = {f.name: getattr(self, f.name) for f in fields(self)}
        moved = {k: v.to(device, non_blocking=True) for k, v in values.items() if isinstance(v, Tensor)}
        return replace(self, **(values | moved))

    def at_frames(self, chosen: slice) -> Self:
        """Some of the frames, without flow and tracks, which join neighbours."""
        names = ("images", "depth", "cam_from_world", "K", "moving")
        values = {name: getattr(self, name) for name in names}
        kept = {name: value[:, chosen] for name, value in values.items() if value is not None}
        return replace(self, **kept, flow=None, tracks=None, tracks_visible=None)

    def describe(self) -> str:
        """Its shape in words, for messages."""
        b, s, _, h, w = self.images.shape
        return f"{b} sequences x {s} frames of {h} x {w} px"


def stack(clips: Sequence[Clip]) -> TrainBatch:
    """Clips of one shape as a batch; optional truth is kept where every clip has it.

    Raises:  UserError if there is no clip, or shapes differ, naming the clips.
    """
    if not clips:
        raise UserError("a batch of no clips; the data source gave nothing")
    shapes = {tuple(clip.images.shape): clip.name for clip in clips}
    if len(shapes) > 1:
        shown = "; ".join(f"{name}: {shape}" for shape, name in shapes.items())
        raise UserError(f"clips of one batch differ in shape (S, 3, H, W): {shown}")
    tensors = {}
    for name in (*STACKED, *OPTIONAL):
        values = [getattr(clip, name) for clip in clips]
        if all(value is not None for value in values):
            tensors[name] = torch.stack(values)
    return TrainBatch(**tensors, names=tuple(clip.name for clip in clips), dataset=clips[0].dataset)


def targets_of(batch: TrainBatch, behaviour: Behaviour) -> Targets:
    """Normalized ground truth: the world is the first camera and the mean point distance is 1.

    Note:  a sequence without a single valid point has no scale; it teaches neither poses nor geometry.
    """
    depth = torch.where(batch.valid, batch.depth, torch.zeros_like(batch.depth))
    points = world_points(depth, batch.K, batch.cam_from_world)
    done = normalize(batch.cam_from_world, points, depth, batch.valid, behaviour=behaviour)
    truth = Targets(done.cam_from_world, batch.K, done.depth, done.world_points, batch.valid)
    tracked = replace(truth, tracks=batch.tracks, tracks_visible=batch.tracks_visible)
    return replace(tracked, drop_pose=~done.usable, drop_geometry=~done.usable)


def given_mask(batch: TrainBatch, config: AidConfig, patch: int) -> Tensor | None:
    """The mask that true motion makes, if the settings want it; None leaves the network its own.

    Raises:  UserError if the data do not say what moves.
    """
    if not config.true_mask:
        return None
    if batch.moving is None:
        raise UserError(f"aid.true_mask: {batch.dataset} does not say what moves; set it to false")
    return true_mask(batch.moving, patch)
