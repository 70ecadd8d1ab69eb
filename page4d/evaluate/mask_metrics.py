"""How well a mask of moving things covers them (J) and follows their outline (F), as DAVIS measures masks."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from page4d.given import as_mask
from page4d.result.motion import iou

Masks = NDArray[np.bool_]
BOUNDARY_TOLERANCE = 0.008  # of the image's diagonal, DAVIS' own number
RECALL_ABOVE = 0.5


@dataclass(frozen=True)
class MaskScores:
    """J and F of every frame, and what DAVIS reports of them.

    Shapes:  region, boundary (S,).
    Units:   shares in [0, 1]; higher is better.
    """

    region: NDArray[np.float64]
    boundary: NDArray[np.float64]

    @property
    def region_mean(self) -> float:
        """Mean intersection over union of the frames."""
        return float(self.region.mean())

    @property
    def region_recall(self) -> float:
        """Share of the frames with an intersection over union above one half."""
        return float((self.region > RECALL_ABOVE).mean())

    @property
    def boundary_mean(self) -> float:
        """Mean boundary F-measure of the frames."""
        return float(self.boundary.mean())


def mask_scores(predicted: Masks, true: Masks, skip_ends: bool = False) -> MaskScores:
    """Compare the masks of a clip with the true ones.

    Shapes:  predicted, true bool (S, H, W).
    Note:    with `skip_ends` the first and the last frame do not count, as in the released DAVIS scripts.
    Raises:  ValueError if the shapes differ or no frame is left.
    Source:  Perazzi et al. (2016), section 5.
    """
    predicted, true = as_mask(predicted, "mask_scores"), as_mask(true, "mask_scores")
    if predicted.shape != true.shape or predicted.ndim != 3:
        raise ValueError(f"masks of shapes {predicted.shape} and {true.shape}: expected two equal (S, H, W)")
    if skip_ends:
        predicted, true = predicted[1:-1], true[1:-1]
    if len(true) == 0:
        raise ValueError("no frame to score: expected at least one, or three where the ends are skipped")
    pairs = list(zip(predicted, true, strict=True))
    region = np.array([iou(ours, theirs) for ours, theirs in pairs])
    boundary = np.array([boundary_accuracy(ours, theirs) for ours, theirs in pairs])
    return MaskScores(region, boundary)


def boundary_accuracy(predicted: Masks, true: Masks, tolerance: float = BOUNDARY_TOLERANCE) -> float:
    """F-measure of two masks' outlines (H, W): outline pixels count as found within `tolerance` of the diagonal.

    Note:    an empty outline against one that is not scores 0, two empty ones score 1.
    """
    ours, theirs = outline(predicted), outline(true)
    if not ours.any() or not theirs.any():
        return float(ours.any() == theirs.any())
    reach = math.ceil(tolerance * math.hypot(*true.shape))
    precision = _share_within(ours, theirs, reach)
    recall = _share_within(theirs, ours, reach)
    if precision + recall == 0:
        return 0.0
    return 2 * precision * recall / (precision + recall)


def _share_within(outline_from: Masks, outline_to: Masks, reach: int) -> float:
    distance = distance_transform_edt(~outline_to)
    return float((distance[outline_from] <= reach).mean())


def outline(mask: Masks) -> Masks:
    """Pixels of a mask (H, W) whose right, lower or lower-right neighbour is on the other side of its edge.

    Note:    beyond the picture's last row and column nothing is known, so no edge is drawn there.
    """
    padded = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    right, below, diagonal = padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    return np.asarray((mask != right) | (mask != below) | (mask != diagonal))
