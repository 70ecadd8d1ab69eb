"""Coloured point files, written without trimesh, whose import takes longer than the file."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import NDArray

from page4d.schema import UserError, atomic_write

# One vertex of a binary PLY, packed.
VERTEX = np.dtype([("xyz", "<f4", 3), ("rgba", "u1", 4)])
OPAQUE = 255
HEADER = """\
ply
format binary_little_endian 1.0
comment page4d
element vertex {count}
property float x
property float y
property float z
property uchar red
property uchar green
property uchar blue
property uchar alpha
end_header
"""


def write_ply(path: os.PathLike[str] | str, xyz: NDArray[np.float32], rgb: NDArray[np.uint8]) -> None:
    """Write points (N, 3) with colours (N, 3) as binary PLY, whole or not at all.

    Frame:   coordinates are written as they are, OpenCV axes (x right, y down, z forward).
    Raises:  UserError if there is no point, the shapes differ, or a coordinate is not finite.
    """
    if xyz.ndim != 2 or xyz.shape[1] != 3 or rgb.shape != xyz.shape or len(xyz) == 0:
        raise UserError(f"points {xyz.shape} and colours {rgb.shape}: expected equal (N, 3) with N >= 1")
    if not np.isfinite(xyz).all():
        raise UserError(f"{int((~np.isfinite(xyz)).any(1).sum())} of {len(xyz)} points are not finite; leave them out")
    vertices = np.empty(len(xyz), VERTEX)
    vertices["xyz"] = xyz
    vertices["rgba"][:, :3], vertices["rgba"][:, 3] = rgb, OPAQUE
    with atomic_write(path) as stream:
        stream.write(HEADER.format(count=len(xyz)).encode())
        stream.write(vertices.data)
