"""Long films in windows: which frames each window holds, and how windows are joined into one world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from page4d.geometry import Similarity, fit_similarity, world_points
from page4d.schema import Prediction, UserError


@dataclass(frozen=True)
class Windows:
    """Long clips in parts: `frames` at a time, each part sharing `overlap` frames with the one before.

    Note:    parts are joined one after the other by a similarity, so errors of scale and pose add up along the clip;
             one pass over all frames is better wherever it fits into memory.
    """

    frames: int = 32
    overlap: int = 4

    def __post_init__(self) -> None:
        if not 0 < self.overlap < self.frames:
            raise UserError(
                f"windows of {self.frames} frames with overlap {self.overlap}; expected 0 < overlap < frames"
            )

    def starts(self, total: int) -> list[int]:
        """First frames of the windows over `total` frames; the last window ends with the clip."""
        last = max(total - self.frames, 0)
        return [*range(0, last, self.frames - self.overlap), last]


def join_windows(parts: Sequence[Prediction], starts: Sequence[int], meta: dict[str, Any]) -> Prediction:
    """Bring each window into the world and scale of the ones before; a shared frame keeps its first window's values.

    Note:    the points of the shared frames, lifted from depth, are the same points in both windows; of their more
             confident half the least-squares similarity is taken.
    Source:  Umeyama (1991) for the similarity.
    """
    joined = parts[0]
    for part, start in zip(parts[1:], starts[1:], strict=True):
        shared = len(joined) - start
        moved = _moved(part, _similarity(part, joined, shared))
        joined = _appended(joined, moved, shared)
    return replace(joined, meta=meta)


def _similarity(part: Prediction, joined: Prediction, shared: int) -> Similarity:
    """From the world of `part`, whose first `shared` frames are the last of `joined`, to the world of `joined`."""
    local, known = _points(part, slice(shared)), _points(joined, slice(-shared, None))
    confidence = np.minimum(part.depth_conf[:shared], joined.depth_conf[-shared:])
    keep = torch.from_numpy(confidence >= np.median(confidence))
    return fit_similarity(local[keep], known[keep])


def _points(prediction: Prediction, frames: slice) -> Tensor:
    arrays = prediction.depth, prediction.K, prediction.cam_from_world
    depth, K, pose = (torch.from_numpy(values[frames]).double() for values in arrays)
    return world_points(depth, K, pose)


def _moved(part: Prediction, to_joined: Similarity) -> Prediction:
    """Lengths times the scale; with x' = s R x + t a camera [Rc | tc] becomes [Rc R^T | s tc - Rc R^T t]."""
    scale = float(to_joined.scale)
    pose = torch.from_numpy(part.cam_from_world).double()
    rotation = pose[:, :, :3] @ to_joined.rotation.mT
    translation = scale * pose[:, :, 3] - rotation @ to_joined.translation
    return replace(
        part,
        cam_from_world=torch.cat((rotation, translation[..., None]), -1).float().numpy(),
        depth=np.asarray(part.depth * scale, np.float32),
        points=None if part.points is None else _moved_points(part.points, to_joined),
    )


def _moved_points(points: NDArray[np.float32], to_joined: Similarity) -> NDArray[np.float32]:
    flat = torch.from_numpy(points).double().reshape(-1, 3)
    return to_joined.apply(flat).reshape(points.shape).float().numpy()


def _appended(joined: Prediction, part: Prediction, shared: int) -> Prediction:
    """Both one after the other, without the first `shared` frames of `part`."""
    both: dict[str, Any] = {}
    for name in (f.name for f in fields(joined) if f.name != "meta"):
        before, later = getattr(joined, name), getattr(part, name)
        if name == "frame_names":
            both[name] = before + later[shared:]
        elif before is not None:
            both[name] = np.concatenate((before, later[shared:]))
    return replace(joined, **both)
