"""Cameras stored in PyTorch3D's convention (Dynamic Replica, CO3D), turned into OpenCV's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from page4d.schema import UserError


def opencv_camera(
    viewpoint: Mapping[str, Any], size_hw: Sequence[int]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Camera from world (3, 4) and K (3, 3) in pixels from a viewpoint's R, T, focal_length and principal_point.

    Frame:   PyTorch3D multiplies row vectors, X_cam = X R + T, with x to the left and y up; OpenCV columns, with x to
             the right and y down: negate the first two columns of R and entries of T, then transpose R.
    Units:   `ndc_isotropic` measures in half the shorter side, `ndc_norm_image_bounds` in half of each side, from the
             image's centre. PyTorch3D's pixels begin at the corner of the first one, where (0, 0) is (-0.5, -0.5) here.
    Raises:  UserError for a missing key or another intrinsics_format.
    Source:  PyTorch3D, docs/notes/cameras.md ("Screen coordinate system").
    """
    missing = [key for key in ("R", "T", "focal_length", "principal_point") if viewpoint.get(key) is None]
    if missing:
        raise UserError(f"a viewpoint has no {', '.join(missing)}; the annotation file is damaged")
    half = np.array([size_hw[1], size_hw[0]], np.float64) / 2
    kind = str(viewpoint.get("intrinsics_format", "ndc_norm_image_bounds")).lower()
    if kind not in ("ndc_isotropic", "ndc_norm_image_bounds"):
        raise UserError(f"intrinsics_format {kind!r}; known are ndc_isotropic and ndc_norm_image_bounds")
    unit = np.full(2, half.min()) if kind == "ndc_isotropic" else half
    focal = np.array(viewpoint["focal_length"], np.float64) * unit
    centre = half - np.array(viewpoint["principal_point"], np.float64) * unit - 0.5
    flip = np.array([-1.0, -1.0, 1.0])
    rotation = (np.array(viewpoint["R"], np.float64) * flip).T
    pose = np.hstack((rotation, (np.array(viewpoint["T"], np.float64) * flip)[:, None]))
    return pose, np.array([[focal[0], 0, centre[0]], [0, focal[1], centre[1]], [0, 0, 1]])
