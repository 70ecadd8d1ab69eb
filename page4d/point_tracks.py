"""Points that the user picks in any frame, followed through all frames, in pixels of the original images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from page4d.inference import Tracks, track
from page4d.io.images import LoadedImages
from page4d.model import PAGE4D
from page4d.schema import UserError, atomic_write


@dataclass(frozen=True)
class PointTracks:
    """Where N picked points are in S frames.

    Shapes:  xy (S, N, 2), visible and confidence (S, N).
    Units:   pixels of the original images, (0, 0) is the centre of the first; visible and confidence in [0, 1].
    """

    xy: NDArray[np.float64]
    visible: NDArray[np.float32]
    confidence: NDArray[np.float32]
    frame_names: tuple[str, ...]

    def write_csv(self, path: str) -> None:
        """One line a frame and point: frame, name, point, x, y, visible, confidence."""
        with atomic_write(path, "w") as stream:
            stream.write("frame,name,point,x,y,visible,confidence\n")
            for i, name in enumerate(self.frame_names):
                for n, (x, y) in enumerate(self.xy[i]):
                    rest = f"{self.visible[i, n]:.4f},{self.confidence[i, n]:.4f}"
                    stream.write(f'{i},"{name}",{n},{x:.3f},{y:.3f},{rest}\n')


def follow_points(
    model: PAGE4D, frames: LoadedImages, points: Sequence[tuple[float, float]], frame: int = 0
) -> PointTracks:
    """Follow points picked in one frame.

    Units:   points as (x, y) in pixels of the original image of that frame.
    Note:    the network takes its queries from the first frame it sees, so the picked frame goes first and the order
             is put back afterwards.
    Raises:  UserError for a network without track head, no points, a frame or point that does not exist.
    """
    if not points:
        raise UserError("no points to follow; pick at least one")
    if not 0 <= frame < len(frames):
        raise UserError(f"there is no frame {frame}; frames are 0 to {len(frames) - 1}")
    height, width = frames.images.shape[-2:]
    box = frames.box_in_original
    scale = (box[:, 2:] - box[:, :2]) / np.array([width, height])
    queries = (np.asarray(points, np.float64) + 0.5 - box[frame, :2]) / scale[frame] - 0.5
    inside = (queries >= -0.5).all(1) & (queries < np.array([width, height]) - 0.5).all(1)
    if not inside.all():
        raise UserError(f"point {tuple(points[int(np.argmin(inside))])} of frame {frame} was not seen by the network")
    order = [frame, *(i for i in range(len(frames)) if i != frame)]
    found = track(model, _reordered(frames, order), queries.astype(np.float32))
    back = np.argsort(order)
    xy = (found.tracks[back].astype(np.float64) + 0.5) * scale[:, None] + box[:, None, :2] - 0.5
    return PointTracks(xy, found.visible[back], found.confidence[back], frames.names)


def input_tracks(tracks: PointTracks, frames: LoadedImages) -> Tracks:
    """The same tracks in pixels of the network's input, to draw on its pictures."""
    height, width = frames.images.shape[-2:]
    box = frames.box_in_original
    scale = (box[:, 2:] - box[:, :2]) / np.array([width, height])
    xy = (tracks.xy + 0.5 - box[:, None, :2]) / scale[:, None] - 0.5
    return Tracks(xy.astype(np.float32), tracks.visible, tracks.confidence)


def grid_points(height: int, width: int, per_side: int) -> list[tuple[float, float]]:
    """A regular grid of points, `per_side` squared, away from the border."""
    if per_side < 1:
        raise UserError(f"a grid of {per_side} points a side is empty; give 1 or more")
    steps = (np.arange(per_side) + 0.5) / per_side
    return [(float(x * width - 0.5), float(y * height - 0.5)) for y in steps for x in steps]


def _reordered(frames: LoadedImages, order: list[int]) -> LoadedImages:
    return replace(
        frames,
        images=frames.images[torch.tensor(order)],
        original_hw=frames.original_hw[order],
        box_in_original=frames.box_in_original[order],
        names=tuple(frames.names[i] for i in order),
        timestamps_s=frames.timestamps_s[order],
    )
