"""Relative camera errors over all pairs of frames: rotation, direction of motion, RRA, RTA and their AUC.

No alignment takes part, so nothing flatters. The one implementation, for exact clips and for benchmarks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from page4d.geometry import compose, invert, rotation_angle_deg

LIMITS_DEG = (3, 5, 15, 30)


def pair_numbers(frames: int) -> Tensor:
    """Numbers of the two frames of every pair (2, P), P = S (S - 1) / 2; the pairs with frame 0 come first."""
    return torch.triu_indices(frames, frames, offset=1)


def relative_poses(cam_from_world: Tensor) -> Tensor:
    """Second camera seen from the first, `first_from_second`, of every pair: (*, S, 3 or 4, 4) -> (*, P, 3, 4)."""
    first, second = pair_numbers(cam_from_world.shape[-3]).to(cam_from_world.device)
    world_from_cam = invert(cam_from_world)
    return compose(cam_from_world[..., first, :, :], world_from_cam[..., second, :, :])


@dataclass(frozen=True)
class PairErrors:
    """Errors of camera pairs.

    Shapes:  rotation_deg and direction_deg (*, P).
    Units:   degrees; direction_deg is NaN for a pair whose true cameras stand at one place: it has no direction.
    """

    rotation_deg: Tensor
    direction_deg: Tensor

    @property
    def has_direction(self) -> Tensor:
        """Which pairs have a direction: bool (*, P)."""
        return ~self.direction_deg.isnan()

    def rotation_accuracy(self, limit_deg: float) -> Tensor:
        """RRA: the share of pairs whose rotation is off by no more than the limit, (*)."""
        return (self.rotation_deg <= limit_deg).double().mean(-1)

    def direction_accuracy(self, limit_deg: float) -> Tensor:
        """RTA: of the pairs with a direction, the share that is off by no more than the limit, (*); NaN without any."""
        return _mean_where(self.direction_deg <= limit_deg, self.has_direction)

    def auc(self, limit_deg: float) -> Tensor:
        """Area under the share of pairs that are right against the limit, from 0 to `limit_deg`, as a share: (*).

        Note:    a pair is right within a limit if both of its errors are; pairs without a direction are left out; NaN
                 without any other. The area is exact: a pair with error e adds 1 - e / limit. Published numbers often
                 sum a histogram of whole degrees, which gives every pair up to a degree more room: at a limit of 30
                 up to 0.03 more, at 3 up to 0.33.
        Source:  RRA, RTA and mAA as in Jin et al., "Image Matching across Wide Baselines" (2021), section 3.
        """
        worse = torch.maximum(self.rotation_deg, self.direction_deg)
        gained = (1 - worse / limit_deg).clamp(min=0)
        return _mean_where(gained, self.has_direction)

    def auc_by_degrees(self, limit_deg: int) -> Tensor:
        """`auc` as the released script of VGGT sums it: errors are rounded down to whole degrees before, (*)."""
        exact = torch.maximum(self.rotation_deg, self.direction_deg)
        # The last bin of its histogram holds its upper end, too.
        worse = torch.where(exact == limit_deg, exact - 1, exact.floor())
        gained = (1 - worse / limit_deg).clamp(min=0)
        return _mean_where(gained, self.has_direction)

    def median_direction(self) -> Tensor:
        """Median over the pairs that have a direction: (*); NaN without such pairs."""
        return torch.nanquantile(self.direction_deg, 0.5, dim=-1)


def pair_errors(predicted: Tensor, true: Tensor, standing_still: float, either_way: bool = False) -> PairErrors:
    """Errors of relative poses `first_from_second`.

    Shapes:  predicted, true (*, P, 3, 4).
    Units:   `standing_still` in the unit of the true translation: a shorter one has no direction.
    Note:    a predicted translation of length zero says nothing and counts as 90 degrees, one that is not finite as
             180. With `either_way` the sign of the direction is free, as in the public evaluations of PoseDiffusion
             and VGGT; guessing then scores 57 degrees in place of 90, and the opposite direction counts as right.
    """
    turned = predicted[..., :3] @ true[..., :3].mT
    rotation = rotation_angle_deg(turned).nan_to_num(180.0)
    angle = angle_between_deg(predicted[..., 3], true[..., 3])
    if either_way:
        angle = torch.minimum(angle, 180 - angle)
    # Last, because a free sign would fold the 180 of what is not finite into a perfect 0.
    angle = angle.nan_to_num(180.0)
    moved = true[..., 3].norm(dim=-1) > standing_still
    return PairErrors(rotation, angle.masked_fill(~moved, torch.nan))


def angle_between_deg(first: Tensor, second: Tensor) -> Tensor:
    """Angle between vectors (*, 3) in degrees; 90 where one has no length and so no direction."""
    # atan2 keeps small angles exact where arccos of a rounded cosine would not.
    sine, cosine = torch.linalg.cross(first, second).norm(dim=-1), (first * second).sum(-1)
    angle = torch.rad2deg(torch.atan2(sine, cosine))
    nowhere = (first.norm(dim=-1) == 0) | (second.norm(dim=-1) == 0)
    return angle.masked_fill(nowhere, 90.0)


def _mean_where(values: Tensor, counted: Tensor) -> Tensor:
    total = torch.where(counted, values.double(), 0.0).sum(-1)
    count = counted.sum(-1)
    return torch.where(count > 0, total / count.clamp(min=1), torch.nan)
