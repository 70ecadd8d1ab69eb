"""Outlier removal on single depth maps."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from page4d.measured import is_measured
from page4d.schema import UserError


def percentile_filter(depth: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """Set to 0 the valid pixels below the `low` and above the `high` percentile of the valid pixels.

    Shapes:  depth (H, W) -> (H, W), a new array; 0 and anything not finite = no measurement.
    Raises:  UserError unless 0 <= low < high <= 100.
    Note:    the public filter takes the percentiles over all pixels, zeros included, so how much it drops depends on
             the share v of valid pixels: at (1, 98) it drops the farthest 0.02 / v of them, 80 % at v = 0.025, and
             nothing at all for v <= 0.02. Here it is always the nearest 1 % and the farthest 2 %.
    """
    if not 0 <= low < high <= 100:
        raise UserError(f"depth percentiles ({low}, {high}): expected 0 <= low < high <= 100")
    valid = is_measured(depth)
    kept = np.where(valid, depth, 0).astype(np.float32)
    if valid.any():
        least, most = np.percentile(depth[valid].astype(np.float64), (low, high))
        kept[(kept < least) | (kept > most)] = 0
    return kept
