"""Points that the user picks in any frame, followed through all frames, in pixels of the original images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from page4d.inference import (
    Images,
    as_frames,
    device_for,
    inference_mode_of,
    network_of,
    products_dtype,
    ready_for,
)
from page4d.io.fitting import Mode
from page4d.io.images import LoadedImages
from page4d.model import PAGE4D
from page4d.model.heads import pairs_read
from page4d.model.precision import heads_in_float32
from page4d.result.pixel_map import PixelMap
from page4d.schema import UserError, atomic_write

Points = Sequence[Sequence[float]] | NDArray[np.floating[Any]] | Tensor


@dataclass(frozen=True)
class Tracks:
    """Where N picked points are in S frames.

    Shapes:  xy, xy_in_input (S, N, 2) as (x, y); visible, confidence (S, N) in [0, 1].
    Units:   xy in pixels of the original images, xy_in_input in those of the network's pictures; pixel (0, 0) is
             centred at (0, 0).
    """

    xy: NDArray[np.float64]
    xy_in_input: NDArray[np.float64]
    visible: NDArray[np.float32]
    confidence: NDArray[np.float32]
    frame_names: tuple[str, ...]

    def write_csv(self, path: os.PathLike[str] | str) -> None:
        """One row per frame and point: frame, name, point, x, y, visible, confidence."""
        with atomic_write(path, "w") as stream:
            stream.write("frame,name,point,x,y,visible,confidence\n")
            for i, name in enumerate(self.frame_names):
                quoted = name.replace('"', '""')
                for n, (x, y) in enumerate(self.xy[i]):
                    shares = f"{self.visible[i, n]:.4f},{self.confidence[i, n]:.4f}"
                    stream.write(f'{i},"{quoted}",{n},{x:.3f},{y:.3f},{shares}\n')


def track(
    model: PAGE4D,
    images: Images,
    points: Points,
    *,
    frame: int = 0,
    mode: Mode = "crop",
    device: torch.device | str | None = None,
) -> Tracks:
    """Follow points picked in one frame through all frames.

    Shapes:  points (N, 2) as (x, y).
    Units:   pixels of the original image of that frame, pixel (0, 0) centred at (0, 0); of a tensor, its own pixels.
    Note:    the network takes its queries from the first frame it sees, so the picked frame goes first and the order
             is put back afterwards.
    Raises:  UserError as `predict`, for a network without a track head, no points, a frame that does not exist, and a
             point that the network does not see.
    """
    model = network_of(model)
    check_track_head(model)
    target = device_for(model, device)
    frames = as_frames(images, model, mode)
    if not 0 <= frame < len(frames):
        raise UserError(f"there is no frame {frame}; frames are 0 to {len(frames) - 1}")
    queries = _queries(points, frames, frame)
    order = [frame, *(i for i in range(len(frames)) if i != frame)]
    found, visible, confidence = _run_track_head(model.to(target), _reordered(frames, order), queries)
    back = np.argsort(order)
    xy_in_input = found[back].astype(np.float64)
    xy = PixelMap.of(frames).to_original(xy_in_input)
    return Tracks(xy, xy_in_input, visible[back], confidence[back], frames.names)


def check_track_head(model: PAGE4D) -> None:
    """Refuse a network that follows no points.

    Raises:  UserError.
    """
    if model.track_head is None:
        raise UserError("this network has no track head; VGGT's weights ('vggt') have one, PAGE-4D's have none")


def grid_points(height: int, width: int, per_side: int) -> list[tuple[float, float]]:
    """A regular grid of points, `per_side` squared, away from the border."""
    if per_side < 1:
        raise UserError(f"a grid of {per_side} points a side is empty; give 1 or more")
    steps = (np.arange(per_side) + 0.5) / per_side
    return [(float(x * width - 0.5), float(y * height - 0.5)) for y in steps for x in steps]


def _queries(points: Points, frames: LoadedImages, frame: int) -> NDArray[np.float32]:
    """The points in pixels of the network's input, all of them inside it."""
    picked = torch.as_tensor(points, dtype=torch.float64).cpu().numpy()
    if picked.size == 0:
        raise UserError("no points to follow, expected (N, 2) as (x, y) with N >= 1; pick at least one")
    if picked.ndim != 2 or picked.shape[1] != 2:
        raise UserError(f"points have shape {picked.shape}, expected (N, 2) as (x, y) with N >= 1")
    height, width = frames.size_hw
    queries = PixelMap.of(frames)[frame].to_input(picked)
    outside = ~((queries >= -0.5) & (queries < np.array([width, height]) - 0.5)).all(1)
    if outside.any():
        raise UserError(
            f"{int(outside.sum())} points lie outside the {width} x {height} px that the network sees of frame "
            f"{frame}, the first at {picked[outside][0].tolist()}; it was not seen, pick another"
        )
    return queries.astype(np.float32)


def _run_track_head(
    model: PAGE4D, frames: LoadedImages, queries: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Tracks (S, N, 2), visible and confidence (S, N) of queries in the first frame, in pixels of the input."""
    head, device = model.track_head, next(model.parameters()).device
    assert head is not None
    products = products_dtype(model, device)
    with inference_mode_of(model), ready_for(model, frames, products) as images:
        batch = model.aggregator.check_images(images)
        out = model.aggregator.run(batch, keep=pairs_read(model.config))
        picked = torch.from_numpy(queries)[None].to(device)
        with heads_in_float32(device.type):
            tracks, visible, confidence = head(out.tokens, batch, out.patch_start, query_points=picked)
    last = tracks[-1][0], visible[0], confidence[0]
    first, second, third = (values.float().cpu().numpy() for values in last)
    return first, second, third


def _reordered(frames: LoadedImages, order: list[int]) -> LoadedImages:
    names = tuple(frames.names[i] for i in order)
    arrays = ("original_hw", "box_in_original", "timestamps_s")
    ordered: dict[str, Any] = {name: getattr(frames, name)[order] for name in arrays}
    return replace(frames, images=frames.images[torch.tensor(order)], names=names, kept=None, **ordered)
