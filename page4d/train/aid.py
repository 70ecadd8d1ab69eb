"""The matching aid: two throw-away heads that teach the patch tokens to find each other in the next frame.

Poses wait until the network can match; on small budgets they wait for ever. The synthetic world knows every
correspondence, so matching can be taught directly. The heads are dropped when training ends.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from page4d.geometry import pixel_grid, project, transform, world_points
from page4d.losses.targets import mean_where
from page4d.train.batch import TrainBatch
from page4d.train.settings import AidConfig

OCCLUDED = 0.05  # a point further than this share behind the depth map is hidden
MASK_FLOOR = 1e-5  # a sure mask that is wrong costs at most 11.5, and bfloat16 cannot make it infinite


class Matches(NamedTuple):
    """Where patch centres of frame i are seen in frame i + 1 (forward) and back.

    Shapes:  xy (B, 2 * (S - 1), h, w, 2) in pixels of the other frame; seen (B, 2 * (S - 1), h, w) bool.
    Note:    first the forward pairs, then the backward ones.
    """

    xy: Tensor
    seen: Tensor


def exact_matches(batch: TrainBatch, patch: int) -> Matches:
    """Matches of all neighbouring frames, from the exact depth and poses of what stands still and the exact flow.

    Note:    moving pixels have forward matches only, because the world gives flow in that direction only.
    """
    forward = _static_matches(batch, patch, 1)
    backward = _static_matches(batch, patch, -1)
    if batch.moving is not None:
        still = ~_at_centres(batch.moving.float(), patch).bool()
        backward = backward._replace(seen=backward.seen & still[:, 1:])
        if batch.flow is None:
            forward = forward._replace(seen=forward.seen & still[:, :-1])
        else:
            forward = _with_flow(forward, batch.flow, still[:, :-1], patch)
    return Matches(torch.cat((forward.xy, backward.xy), 1), torch.cat((forward.seen, backward.seen), 1))


def _at_centres(x: Tensor, patch: int) -> Tensor:
    """The pixel next to each patch centre: (*, H, W) -> (*, h, w)."""
    half = patch // 2
    height, width = x.shape[-2] // patch * patch, x.shape[-1] // patch * patch
    return x[..., half:height:patch, half:width:patch]


def _centre_pixels(height: int, width: int, patch: int, like: Tensor) -> Tensor:
    return pixel_grid(height // patch, width // patch, like) * patch + patch // 2


def _static_matches(batch: TrainBatch, patch: int, direction: int) -> Matches:
    earlier, later = slice(None, -1), slice(1, None)
    here, there = (earlier, later) if direction > 0 else (later, earlier)
    depth = torch.where(batch.valid, batch.depth, torch.zeros_like(batch.depth))
    height, width = depth.shape[-2:]
    points = world_points(depth, batch.K, batch.cam_from_world)[:, here]
    points = _at_centres(points.movedim(-1, 0), patch).movedim(0, -1)
    known = _at_centres(depth[:, here], patch) > 0
    in_camera = transform(batch.cam_from_world[:, there], points.flatten(2, 3))
    xy, z = project(in_camera, batch.K[:, there])
    seen = (z > 0).unflatten(2, known.shape[2:]) & known
    xy, z = xy.unflatten(2, known.shape[2:]), z.unflatten(2, known.shape[2:])
    surface = _sample(depth[:, there], xy)
    # Where the other frame measures nothing (sky), a nearer static point cannot be hidden.
    visible = (surface <= 0) | (z <= surface * (1 + OCCLUDED))
    return Matches(xy, seen & visible & _inside(xy, height, width))


def _with_flow(still_matches: Matches, flow: Tensor, still: Tensor, patch: int) -> Matches:
    height, width = flow.shape[2:4]
    centres = _centre_pixels(height, width, patch, flow)
    moved = centres + torch.stack([_at_centres(flow[..., k], patch) for k in range(2)], -1)
    # What stands still keeps the match of the geometry, which knows what is hidden; flow does not.
    xy = torch.where(still[..., None], still_matches.xy, moved)
    inside = _inside(moved, height, width) & moved.isfinite().all(-1)
    return Matches(xy, torch.where(still, still_matches.seen, inside))


def _inside(xy: Tensor, height: int, width: int) -> Tensor:
    x, y = xy.unbind(-1)
    return (x > -0.5) & (x < width - 0.5) & (y > -0.5) & (y < height - 0.5)


def _sample(depth: Tensor, xy: Tensor) -> Tensor:
    """The largest of the four depths around each position: lenient at edges."""
    height, width = depth.shape[-2:]
    low = torch.nan_to_num(xy).floor().clamp(-1e6, 1e6).long()
    values = []
    for dy in (0, 1):
        for dx in (0, 1):
            x = (low[..., 0] + dx).clamp(0, width - 1)
            y = (low[..., 1] + dy).clamp(0, height - 1)
            index = (y * width + x).flatten(2)
            values.append(depth.flatten(2).gather(2, index).unflatten(2, xy.shape[2:4]))
    return torch.stack(values).amax(0)


class AidOutput(NamedTuple):
    """features (B, S, N, D) of unit length; flow (B, S - 1, N, 2) forward and (B, S - 1, N, 2) backward, in patches."""

    features: Tensor
    forward: Tensor
    backward: Tensor


class MatchingAid(nn.Module):
    """Two small heads over patch tokens: matching features, and the displacement to the next and previous frame."""

    def __init__(self, width: int, config: AidConfig) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.features = nn.Linear(width, config.width)
        self.flow = nn.Sequential(nn.Linear(width, config.width), nn.GELU(), nn.Linear(config.width, 4))

    def forward(self, tokens: Tensor, patch_start: int) -> AidOutput:
        patches = self.norm(tokens[:, :, patch_start:].float())
        features = F.normalize(self.features(patches), dim=-1)
        flow = self.flow(patches)
        forward, backward = flow[:, :-1, :, :2], flow[:, 1:, :, 2:]
        return AidOutput(features, forward, backward)


@dataclass(frozen=True)
class AidLoss:
    """The aid's objective, its two parts, and what they mean: share of patches matched, flow error over zero flow."""

    objective: Tensor
    matching: Tensor
    flow: Tensor
    accuracy: Tensor
    flow_ratio: Tensor


def aid_loss(output: AidOutput, batch: TrainBatch, patch: int, config: AidConfig) -> AidLoss:
    """Cross-entropy over the other frame's patches, and L1 on the displacement in patches.

    Note:    with no visible match at all everything is 0, with a graph.
    """
    matches = exact_matches(batch, patch)
    height, width = batch.images.shape[-2:]
    rows, columns = height // patch, width // patch
    seen = matches.seen.flatten(2)
    place = matches.xy.flatten(2, 3)
    column = ((place[..., 0] + 0.5) / patch).floor().nan_to_num().clamp(0, columns - 1)
    row = ((place[..., 1] + 0.5) / patch).floor().nan_to_num().clamp(0, rows - 1)
    label = (row * columns + column).long()
    earlier, later = output.features[:, :-1], output.features[:, 1:]
    forward, backward = earlier @ later.mT, later @ earlier.mT
    # Features have unit length, so dots lie in [-1, 1]: divided by the temperature they can become sure.
    logits = torch.cat((forward, backward), 1) / config.temperature
    centres = _centre_pixels(height, width, patch, place).flatten(0, 1)
    true_flow = (place - centres) / patch
    flow = torch.cat((output.forward, output.backward), 1)
    # Every patch of the other frame is a class, and the one in which the point is seen is the true one.
    surprise = F.cross_entropy(logits.flatten(0, 2), label.flatten(), reduction="none").view_as(label)
    matching = mean_where(surprise, seen)
    both = seen[..., None].expand_as(flow)
    # Where nothing is seen the true flow may not even be finite.
    true_flow = torch.where(both, true_flow, torch.zeros_like(true_flow))
    error = mean_where((flow - true_flow).abs(), both)
    with torch.no_grad():
        accuracy = mean_where((logits.argmax(-1) == label).float(), seen)
        ratio = error / mean_where(true_flow.abs(), both).clamp(min=1e-6)
    return AidLoss(matching + config.flow_weight * error, matching, error, accuracy, ratio)


def mask_loss(m: Tensor, moving: Tensor, patch: int) -> Tensor:
    """Cross-entropy between what the mask says of each patch and the true share of it that stands still.

    Shapes:  m (B, S, h, w) in (-0.5, 0.5), moving bool (B, S, H, W).
    Note:    ours, not the paper's, whose mask learns from the camera loss alone. m + 0.5 is the head's probability
             that a patch stands still. The mask reads detached tokens, so nothing but its head learns from this.
    """
    still = (m.float() + 0.5).clamp(MASK_FLOOR, 1 - MASK_FLOOR)
    share = F.avg_pool2d(moving.float().flatten(0, 1)[:, None], patch)[:, 0].view_as(still)
    return -((1 - share) * still.log() + share * (1 - still).log()).mean()
