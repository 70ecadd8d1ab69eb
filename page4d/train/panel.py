"""A picture of one training sequence: images, true depth, predicted depth, mask."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import matplotlib
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from page4d.train.batch import TrainBatch

MAX_FRAMES = 4


@torch.no_grad()
def training_panel(batch: TrainBatch, predictions: Mapping[str, Any]) -> NDArray[np.uint8]:
    """Rows of frames of the batch's first sequence: image, true depth, predicted depth (median-scaled), mask if on.

    Shapes:  -> uint8 (rows * H, frames * W, 3).
    Note:    depths share one range, near is dark; the mask goes from -0.5 (blue) to 0.5 (red); no depth is black.
    """
    frames = min(MAX_FRAMES, batch.images.shape[1])
    images = batch.images[0, :frames].permute(0, 2, 3, 1).float().cpu().clamp(0, 1).numpy()
    rows = [images]
    valid = batch.valid[0, :frames].cpu()
    true = batch.depth[0, :frames].float().cpu()
    low, high = _range(true, valid)
    rows.append(_colour(true, low, high, "viridis") * valid[..., None].numpy())
    if "depth" in predictions:
        depth = predictions["depth"][0, :frames, ..., 0].float().cpu()
        scale = true[valid].median() / depth[valid].median() if bool(valid.any()) else torch.ones(())
        rows.append(_colour(depth * scale, low, high, "viridis"))
    if "mask" in predictions:
        mask = F.interpolate(predictions["mask"][0, :frames, None].float().cpu(), size=true.shape[-2:])[:, 0]
        rows.append(_colour(mask, -0.5, 0.5, "coolwarm"))
    grid = np.concatenate([np.concatenate(list(row), axis=1) for row in rows])
    return (grid * 255).round().astype(np.uint8)


def _range(depth: Tensor, valid: Tensor) -> tuple[float, float]:
    if not bool(valid.any()):
        return 0.0, 1.0
    low, high = np.quantile(depth[valid].numpy(), (0.02, 0.98))
    return float(low), float(max(high, low + 1e-6))


def _colour(x: Tensor, low: float, high: float, name: str) -> NDArray[np.float64]:
    shown = ((x - low) / (high - low)).nan_to_num().clamp(0, 1).numpy()
    return np.asarray(matplotlib.colormaps[name](shown))[..., :3]
