"""A Clip's exact geometry in the form of a Prediction: what a perfect network would have said."""

from __future__ import annotations

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
    s, _, h, w = clip.images.shape
    known = clip.valid.float().numpy()
    scale = {"factor": 1.0, "unit": "m" if clip.metric else "scene units", "source": "ground truth"}
    return Prediction(
        cam_from_world=pose.float().numpy(),
        K=clip.K.float().numpy(),
        depth=depth.float().numpy(),
        depth_conf=1 + known,
        points=points.float().numpy(),
        points_conf=1 + known,
        mask=None,
        images=(clip.images.permute(0, 2, 3, 1) * 255).round().byte().numpy(),
        frame_names=tuple(f"frame_{int(n):04d}" for n in clip.frame_numbers),
        timestamps_s=np.arange(s, dtype=np.float64) / fps,
        original_hw=np.tile(np.array([[h, w]], np.int64), (s, 1)),
        box_in_original=np.tile(np.array([[0, 0, w, h]], np.float64), (s, 1)),
        meta={"weights": "ground truth", "scale": scale},
    )
