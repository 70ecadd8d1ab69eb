"""Middles that a minority of wrong values does not move, and the weights of a fit that leaves such values behind."""

from __future__ import annotations

import torch
from torch import Tensor

LEAST_SPREAD = 1e-9


def weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """The value (N,) -> () at which half of the weight is reached."""
    ordered, order = values.sort()
    reached = weights[order].cumsum(0)
    # A copy, for a middle that is kept would keep all values alive by a view of one.
    return ordered[int(torch.searchsorted(reached, reached[-1] / 2))].clone()


def robust_weights(distance: Tensor, spread: Tensor) -> Tensor:
    """What each of N distances (N,) counts in the next round of a reweighted fit, 1 at distance 0.

    Note:    `spread` is the median distance, so half are taken to be right; one three times as far off as they are has
             a hundredth of its weight left.
    Source:  Geman and McClure, "Statistical methods for tomographic image reconstruction" (1987).
    """
    return 1 / (1 + (distance / spread.clamp(min=LEAST_SPREAD)).square()).square()
