"""Which pixels move: from the geometry of a Prediction, or from the model's own mask.

A still point that frame i sees must, wherever frame j looks at it, be seen at its depth or be hidden behind something
nearer. If frame j looks through the place where it should be, or if the picture there has moved differently than the
camera explains, the point has moved. Both are asked of several other frames, near and far in time. Many pixels have no
answer of their own (a body that moves over itself, a wall without texture), so what is alike in depth and colour
answers together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from page4d.geometry import compose, invert, pixel_grid, project, to_4x4, transform, unproject
from page4d.given import as_mask
from page4d.measured import is_measured
from page4d.result.guided import guided_means
from page4d.schema import Prediction, UserError

METHODS = ("geometric", "model")
Flow = NDArray[np.float32]
FLOW_PATCH = 8  # px, of OpenCV's medium search
LEAST_SIDE = 16
# Differences that say nothing, of log depth and of red, green and blue.
NOISE = (0.1, 0.05, 0.05, 0.05)
# Exact geometry finds most of what moves (chapter "Seeing it in 4-D"); a slow test holds this choice to be the better
# one on predictions of the built-in masked network.
DEFAULT_METHOD = "geometric"


@dataclass(frozen=True)
class MotionOptions:
    """Knobs of the geometric mask.

    Units:   offsets in frames; depth_tolerance as share of depth; flow_tolerance and reach as share of the image's
             diagonal; threshold and ceiling on the score, in which 1 is the tolerance itself; smallest_share is the
             share of the image below which a connected region is taken for noise.
    Note:    pixels within `reach` of each other that are alike in depth and colour answer together; 0 leaves each by
             itself. No pixel says more than `ceiling`, or one wrong depth would speak for all around it.
    """

    offsets: tuple[int, ...] = (1, 2, 3, 5, 8)
    depth_tolerance: float = 0.05
    flow_tolerance: float = 0.03
    noise_factor: float = 3.0
    use_flow: bool = True
    reach: float = 0.1
    ceiling: float = 6.0
    threshold: float = 1.0
    smallest_share: float = 0.0005

    def __post_init__(self) -> None:
        if not self.offsets or min(self.offsets) < 1:
            raise UserError(f"offsets {self.offsets} must be whole numbers of frames, 1 or more")
        if min(self.depth_tolerance, self.flow_tolerance, self.threshold, self.ceiling) <= 0:
            raise UserError("depth_tolerance, flow_tolerance, threshold and ceiling must be positive")
        if not 0 <= self.reach <= 1:
            raise UserError(f"reach is {self.reach}, expected a share of the diagonal from 0 to 1")


def moving_mask(
    prediction: Prediction, method: str = "auto", options: MotionOptions | None = None
) -> NDArray[np.bool_]:
    """Moving pixels, bool (S, H, W), by the method "geometric" or "model"; "auto" is `DEFAULT_METHOD`.

    Note:    a single frame says nothing about motion, so "auto" then calls everything still.
    Raises:  UserError for another method, "model" without a mask in the prediction, "geometric" with a single frame.
    """
    if method == "auto" and len(prediction) < 2:
        return np.zeros(prediction.depth.shape, np.bool_)
    method = DEFAULT_METHOD if method == "auto" else method
    if method == "model":
        return model_score(prediction) > 0
    if method != "geometric":
        raise UserError(f"moving mask by {method!r}: choose one of {', '.join(METHODS)}")
    options = options or MotionOptions()
    return clean_mask(geometric_score(prediction, options) > options.threshold, options.smallest_share)


def model_score(prediction: Prediction) -> NDArray[np.float32]:
    """What the model's mask says, (S, H, W): -m of each pixel's patch, above 0 where pose tokens are told to look away.

    Raises:  UserError if the prediction has no mask.
    """
    if prediction.mask is None:
        raise UserError("the prediction has no mask: these weights run without one; use the geometric mask")
    maps = torch.from_numpy(prediction.mask)[:, None]
    size = prediction.depth.shape[-2:]
    return -F.interpolate(maps, size=size, mode="bilinear", align_corners=False)[:, 0].numpy()


def geometric_score(prediction: Prediction, options: MotionOptions | None = None) -> NDArray[np.float32]:
    """How badly each pixel fits a still world, (S, H, W), in units of the tolerance: above 1 is called moving.

    Note:    the largest of the depth and flow residuals over the compared frames; 0 where nothing could be compared.
    Raises:  UserError if there is only one frame.
    """
    options = options or MotionOptions()
    frames = len(prediction)
    if frames < 2:
        raise UserError("one frame alone says nothing about motion; give at least two")
    views = _views(prediction)
    flows = _NeighbourFlows(views)
    scores = []
    for i in range(frames):
        score, compared = _misfit(i, views, flows, options)
        scores.append(_together(score, compared, prediction, i, options) if options.reach else score)
    return np.stack(scores).astype(np.float32)


def _misfit(
    i: int, views: list[_View], flows: _NeighbourFlows, options: MotionOptions
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """What each pixel of frame i says by itself, (H, W), and which pixels could be compared with any other frame."""
    shape = views[i].depth.shape
    score = torch.zeros(shape, dtype=torch.float64)
    compared = torch.zeros(shape, dtype=torch.bool)
    # Near neighbours in time show fast things, far ones slow things: the worst misfit of all counts.
    for j in _others(i, len(views), options.offsets):
        pair = _Pair(views[i], views[j])
        residual = pair.depth_residual(options)
        # Optical flow is only reliable over one step, and catches what slides along a surface at equal depth.
        if options.use_flow and abs(i - j) == 1:
            residual = torch.maximum(residual, pair.flow_residual(*flows.between(i, j), options))
        score = torch.maximum(score, residual)
        compared |= pair.known
    return score.numpy(), compared.numpy()


def _together(
    score: NDArray[np.float64], compared: NDArray[np.bool_], prediction: Prediction, i: int, options: MotionOptions
) -> NDArray[np.float64]:
    """The score (H, W) of frame i, where pixels that are alike in depth and colour answer together."""
    # A body stands out in depth, what lies on the ground beside it in colour.
    depth = prediction.depth[i]
    measured = is_measured(depth)
    # What has no depth is sky, or left out: it counts as the farthest.
    farthest = depth.max(where=measured, initial=np.float32(1e-6))
    distance = np.log(np.where(measured, depth, farthest))
    guide = np.dstack((distance, prediction.images[i] / 255.0))
    radius = round(options.reach * float(np.hypot(*score.shape)))
    return guided_means(np.minimum(score, options.ceiling), compared, guide, radius, NOISE)


def _others(i: int, frames: int, offsets: Sequence[int]) -> list[int]:
    around = [j for step in offsets for j in (i - step, i + step)]
    return [j for j in around if 0 <= j < frames]


class _View(NamedTuple):
    """One frame: depth (H, W), K (3, 3), cam_from_world (3, 4) in float64, and its grey picture (H, W)."""

    depth: Tensor
    K: Tensor
    pose: Tensor
    grey: NDArray[np.uint8]


def _views(prediction: Prediction) -> list[_View]:
    stacked = (torch.from_numpy(a).double() for a in (prediction.depth, prediction.K, prediction.cam_from_world))
    grey = [cv2.cvtColor(image, cv2.COLOR_RGB2GRAY) for image in prediction.images]
    return [_View(*view) for view in zip(*stacked, grey, strict=True)]


class _NeighbourFlows:
    """Measured flow between neighbouring frames; a pair is searched once for both of its directions."""

    def __init__(self, views: list[_View]) -> None:
        self._views = views
        self._searched: dict[int, tuple[Flow, Flow]] = {}

    def between(self, i: int, j: int) -> tuple[Tensor, Tensor]:
        """Flow (H, W, 2) from frame i to its neighbour j, and where it is reliable (H, W)."""
        first = min(i, j)
        if first not in self._searched:
            # Frames come in order: only the pair before this one is asked again.
            self._searched = {k: flows for k, flows in self._searched.items() if k == first - 1}
            self._searched[first] = _searched_flow(self._views[first].grey, self._views[first + 1].grey)
        there, back = self._searched[first]
        return _returning(there, back) if i < j else _returning(back, there)


class _Pair:
    """Frame i lifted and looked at from frame j."""

    def __init__(self, view: _View, other: _View) -> None:
        self.shape = view.depth.shape
        j_from_i = compose(other.pose, invert(view.pose))
        points = transform(to_4x4(j_from_i), unproject(view.depth, view.K).reshape(-1, 3))
        self.pixels, self.z = project(points, other.K)
        self.inside = (view.depth.flatten() > 0) & (self.z > 0) & self._in_picture()
        x, y = self.pixels.round().unbind(-1)
        self.at = (torch.where(self.inside, y, 0).long(), torch.where(self.inside, x, 0).long())
        self.depth_j = other.depth
        # Depth edges move by a pixel with the slightest error: the nearest depth around is what counts.
        nearest = torch.where(other.depth > 0, other.depth, torch.inf)
        self.nearest = -F.max_pool2d(-nearest[None], 3, 1, 1)[0]
        self.known = (self.inside & is_measured(self.depth_j[self.at])).reshape(self.shape)

    def _in_picture(self) -> Tensor:
        height, width = self.shape
        x, y = self.pixels.round().unbind(-1)
        return (x >= 0) & (y >= 0) & (x < width) & (y < height)

    def depth_residual(self, options: MotionOptions) -> Tensor:
        """How badly the points (H, W) fit the depth that frame j sees, in units of the tolerance."""
        # Where the two depth maps disagree everywhere, disagreement says nothing about motion.
        tolerance = max(options.depth_tolerance, options.noise_factor * self.noise())
        return self.free_space() / tolerance

    def free_space(self) -> Tensor:
        """By how much (log depth) frame j looks past each point: 0 where it fits, is hidden or cannot be seen."""
        known = self.known.flatten()
        # A ratio of depths does not depend on the unit; the logarithm makes it symmetric.
        past = torch.log(torch.where(known, self.nearest[self.at], 1)) - torch.log(torch.where(known, self.z, 1))
        # Seen nearer than expected, the point may be hidden behind something: that is no sign of motion.
        return torch.where(known, past.clamp(min=0), 0).reshape(self.shape)

    def noise(self) -> float:
        """Typical disagreement (log depth) of the two maps; the median, because most of a picture stands still."""
        both = self.known.flatten()
        gap = (torch.log(self.z[both]) - torch.log(self.depth_j[self.at][both])).abs()
        return float(gap.median()) if len(gap) else 0.0

    def flow_residual(self, flow: Tensor, reliable: Tensor, options: MotionOptions) -> Tensor:
        """How badly the measured flow (H, W, 2) fits a still world, in units of the tolerance; 0 where unknown."""
        length, known = self.sliding(flow, reliable)
        diagonal = float(np.hypot(*self.shape))
        # As with depth: where the cameras are wrong, flow disagrees everywhere.
        noise = float(length[known].median()) if bool(known.any()) else 0.0
        return length / max(options.flow_tolerance * diagonal, options.noise_factor * noise)

    def sliding(self, flow: Tensor, reliable: Tensor) -> tuple[Tensor, Tensor]:
        """Length (H, W) in pixels of measured flow minus the flow of a still world, 0 where either is unknown."""
        height, width = self.shape
        here = pixel_grid(height, width, like=self.pixels).reshape(-1, 2)
        still = self.pixels - here
        # What frame j cannot see has no flow; 5 % of depth is more than the surfaces' own slope within a pixel.
        hidden = self.z > 1.05 * self.nearest[self.at]
        length = (flow.reshape(-1, 2) - still).norm(dim=-1)
        known = self.inside & ~hidden & reliable.flatten()
        return torch.where(known, length, 0).reshape(self.shape), known.reshape(self.shape)


def measured_flow(first: NDArray[np.uint8], second: NDArray[np.uint8], finest_scale: int = 1) -> tuple[Tensor, Tensor]:
    """Measured optical flow (H, W, 2) in pixels, and where going there and back returns to within a pixel (H, W).

    Note:    the search ends at 1 / 2^finest_scale of the size: 1 is OpenCV's own choice, 0 is finer and twice as slow.
    Source:  dense inverse search (Kroeger et al., 2016) as OpenCV has it.
    """
    return _returning(*_searched_flow(first, second, finest_scale))


def _searched_flow(first: NDArray[np.uint8], second: NDArray[np.uint8], finest_scale: int = 1) -> tuple[Flow, Flow]:
    """Flow (H, W, 2) from the first picture to the second, and back."""
    search = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    search.setFinestScale(finest_scale)
    # Where a picture is lower than a patch of the finest scale, OpenCV's search ends the whole process.
    height, width = first.shape
    least = max(LEAST_SIDE, FLOW_PATCH << finest_scale)
    missing = ((0, max(0, least - height)), (0, max(0, least - width)))
    first, second = np.pad(first, missing, "edge"), np.pad(second, missing, "edge")
    blank = np.zeros((*first.shape, 2), np.float32)
    there = np.asarray(search.calc(first, second, blank.copy()), np.float32)
    back = np.asarray(search.calc(second, first, blank.copy()), np.float32)
    return there[:height, :width], back[:height, :width]


def _returning(there: Flow, back: Flow) -> tuple[Tensor, Tensor]:
    """A flow, and where the flow back returns to within a pixel of the start."""
    height, width = there.shape[:2]
    x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
    arrival = x + there[..., 0], y + there[..., 1]
    returned = cv2.remap(back, *arrival, cv2.INTER_LINEAR, borderValue=(1e6, 1e6))
    # What is hidden in the other frame or has no texture does not find its way back.
    reliable = np.linalg.norm(there + returned, axis=-1) < 1
    return torch.from_numpy(there).double(), torch.from_numpy(reliable)


def clean_mask(mask: NDArray[np.bool_], smallest_share: float) -> NDArray[np.bool_]:
    """Each frame's mask with holes of one pixel closed and connected regions below the share of the image removed."""
    smallest = max(1, round(smallest_share * mask.shape[1] * mask.shape[2]))
    # Residuals are speckled at depth edges; a body is connected.
    kernel = np.ones((3, 3), np.uint8)
    cleaned = np.zeros_like(mask)
    for i, frame in enumerate(mask):
        closed = cv2.morphologyEx(frame.astype(np.uint8), cv2.MORPH_CLOSE, kernel)
        _, labels, stats, _ = cv2.connectedComponentsWithStats(closed, connectivity=8)
        large = stats[:, cv2.CC_STAT_AREA] >= smallest
        large[0] = False  # label 0 is what is not moving
        cleaned[i] = large[labels]
    return cleaned


def iou(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> float:
    """Intersection over union of two masks, DAVIS' J; 1 where both are empty, because nothing was there to find."""
    first, second = as_mask(first, "iou"), as_mask(second, "iou")
    if first.shape != second.shape:
        raise ValueError(f"iou: masks {first.shape} and {second.shape} differ in shape")
    union = int((first | second).sum())
    return int((first & second).sum()) / union if union else 1.0


def moving_auc(values: NDArray[np.floating[Any]], moving: NDArray[np.bool_]) -> float:
    """Probability that a moving place has a larger value than a still one (ties count half); NaN if one kind is absent.

    Shapes:  values and moving of one shape.
    Source:  the Mann-Whitney statistic, equal to the area under the ROC curve (Hanley & McNeil, 1982).
    """
    moving = as_mask(moving, "moving_auc")
    if values.shape != moving.shape:
        raise ValueError(f"moving_auc: values {values.shape} and moving {moving.shape} differ in shape")
    positive, negative = values[moving].astype(np.float64), np.sort(values[~moving].astype(np.float64))
    if not len(positive) or not len(negative):
        return float("nan")
    below = np.searchsorted(negative, positive, "left")
    at_most = np.searchsorted(negative, positive, "right")
    return float((below + at_most).mean() / 2 / len(negative))


def patches_moving(moving: NDArray[np.bool_], rows: int, columns: int, share: float = 0.5) -> NDArray[np.bool_]:
    """Which patches (S, h, w) are moving: more than `share` of their pixels of the mask (S, H, W) are."""
    moving = as_mask(moving, "patches_moving")
    s, h, w = moving.shape
    if h % rows or w % columns:
        raise ValueError(f"patches_moving: a mask of {h} x {w} px does not split into {rows} x {columns} patches")
    blocks = moving.reshape(s, rows, h // rows, columns, w // columns)
    return np.asarray(blocks.mean((2, 4)) > share)
