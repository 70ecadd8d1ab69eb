"""What Dynamic Replica and CO3D share: PyTorch3D viewpoints and half-float depth PNGs."""

from __future__ import annotations

from typing import Any

import numpy as np


def viewpoint(pose: np.ndarray, K: np.ndarray, height: int, width: int, kind: str) -> dict[str, Any]:
    """R, T for row vectors with x to the left and y up; lengths in half the short side, or in half of each side.

    Screen space starts at the corner of the first pixel, so the centre of pixel (0, 0) is (0.5, 0.5) there.
    """
    half = np.array([width, height]) / 2
    unit = np.full(2, min(height, width) / 2) if kind == "ndc_isotropic" else half
    turned = np.diag([-1.0, -1.0, 1.0])
    return {
        "R": (turned @ pose[:3, :3]).T.tolist(),
        "T": (turned @ pose[:3, 3]).tolist(),
        "focal_length": (K[[0, 1], [0, 1]] / unit).tolist(),
        "principal_point": (-(K[:2, 2] + 0.5 - half) / unit).tolist(),
        "intrinsics_format": kind,
    }


def half_bits(depth: np.ndarray) -> np.ndarray:
    """The bits of half floats as uint16."""
    return depth.astype(np.float16).view(np.uint16)
