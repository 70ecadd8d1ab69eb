"""Coloured point files through trimesh."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from page4d.schema import UserError, atomic_write


def write_ply(path: os.PathLike[str] | str, xyz: NDArray[np.float32], rgb: NDArray[np.uint8]) -> None:
    """Write points (N, 3) with colours (N, 3) as binary PLY, whole or not at all.

    Frame:   coordinates are written as they are, OpenCV axes (x right, y down, z forward).
    Raises:  UserError if there is no point, the shapes differ, or a coordinate is not finite.
    """
    if xyz.ndim != 2 or xyz.shape[1] != 3 or rgb.shape != xyz.shape or len(xyz) == 0:
        raise UserError(f"points {xyz.shape} and colours {rgb.shape}: expected equal (N, 3) with N >= 1")
    if not np.isfinite(xyz).all():
        raise UserError(f"{int((~np.isfinite(xyz)).any(1).sum())} of {len(xyz)} points are not finite; leave them out")
    cloud: Any = trimesh.PointCloud(xyz.astype(np.float32), colors=rgb)  # type: ignore[no-untyped-call]
    data = cloud.export(file_type="ply")
    with atomic_write(path) as stream:
        stream.write(data)
