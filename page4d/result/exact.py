"""A Clip's exact geometry in the form of a Prediction: what a perfect network would have said."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from page4d.geometry import relative_to_first, world_points
from page4d.schema import Clip, Prediction


def prediction_from_clip(clip: Clip, fps: float = 10.0) -> Prediction:
    """The ground truth of a clip as a Prediction, to test and show whatever reads one.

    Shapes:  a Clip of S frames of H x W -> a Prediction of the same; no mask, for a network's mask is not a truth.
    Units:   the clip's own (`meta["scale"]["unit"]` says m where the clip is metric).
    Frame:   the world becomes the first camera, as in every Prediction.
    """
    pose = relative_to_first(clip.cam_from_world.double())
    depth = torch.where(clip.valid, clip.depth, torch.zeros_like(clip.depth)).double()
    points = world_points(depth, clip.K.double(), pose)
    # The lowest confidence a network can state, 1, where nothing was measured, and one more where it was.
    confidence = 1 + clip.valid.float().numpy()
    s, _, h, w = clip.images.shape
    arrays = {"cam_from_world": pose, "K": clip.K, "depth": depth, "points": points}
    pixels = (clip.images.permute(0, 2, 3, 1) * 255).round().byte().numpy()
    size, box = np.array([[h, w]], np.int64), np.array([[0, 0, w, h]], np.float64)
    unit = "m" if clip.metric else "scene units"
    about = {"weights": "ground truth", "scale": {"factor": 1.0, "unit": unit, "source": "ground truth"}}
    where: dict[str, Any] = {"original_hw": size.repeat(s, 0), "box_in_original": box.repeat(s, 0)}
    geometry: dict[str, Any] = {name: values.float().numpy() for name, values in arrays.items()}
    return Prediction(
        **geometry,
        **where,
        depth_conf=confidence,
        points_conf=confidence,
        mask=None,
        images=pixels,
        frame_names=_names(clip),
        timestamps_s=np.arange(s) / fps,
        meta=about,
    )


def _names(clip: Clip) -> tuple[str, ...]:
    return tuple(f"frame_{int(n):04d}" for n in clip.frame_numbers)
