"""Depth, camera and flow files of the datasets and benchmarks: exact and strict about damage.

A reader returns metres (Sintel: its own unit) as float32 with 0 where nothing was measured.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from page4d.io.arrays import read_npy
from page4d.places import bytes_of
from page4d.schema import UserError, atomic_write

Array = NDArray[np.floating[Any]]
SINTEL_TAG = 202021.25
LARGEST = 1e12  # of a camera's values, in any unit; NaN is not below it
BONN_UNITS_PER_M = 5000.0  # also TUM RGB-D
KITTI_UNITS_PER_M = 256.0


def _tagged_bytes(path: Path | str, kind: str) -> bytes:
    """A file's bytes after its leading float32 tag, which all three Sintel formats share."""
    try:
        data = bytes_of(Path(path))
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; expected a {kind} file") from error
    if len(data) < 4:
        raise UserError(f"{path} is truncated: {len(data)} bytes, not even the 4 of the tag; download it again")
    (tag,) = struct.unpack("<f", data[:4])
    if tag != SINTEL_TAG:
        raise UserError(f"{path} starts with {tag!r}, expected the tag {SINTEL_TAG} of a {kind} file (little-endian)")
    return data[4:]


def _sized_floats(path: Path | str, kind: str, channels: int) -> NDArray[np.float32]:
    """A float32 map after its tag, int32 width and int32 height: (H, W, channels)."""
    data = _tagged_bytes(path, kind)
    width, height = struct.unpack("<ii", data[:8]) if len(data) >= 8 else (0, 0)
    if not (0 < width < 100_000 and 0 < height < 100_000):
        raise UserError(f"{path} claims {width} x {height} pixels; expected a whole {kind} file")
    wanted = 8 + 4 * channels * width * height
    if len(data) != wanted:
        raise UserError(
            f"{path} has {len(data) + 4} bytes, expected {wanted + 4} for {width} x {height}; download it again"
        )
    return np.frombuffer(data, "<f4", offset=8).reshape(height, width, channels).astype(np.float32)


def _write_sized(path: Path | str, values: NDArray[np.float32], height: int, width: int) -> None:
    with atomic_write(path) as stream:
        stream.write(struct.pack("<fii", SINTEL_TAG, width, height) + values.astype("<f4").tobytes())


def read_dpt(path: Path | str) -> NDArray[np.float32]:
    """Read a Sintel `.dpt` depth map: (H, W), z-depth.

    Raises:  UserError for a wrong tag, a truncated or overlong file.
    """
    return _sized_floats(path, ".dpt", 1)[..., 0]


def write_dpt(path: Path | str, depth: Array) -> None:
    """Write a Sintel `.dpt` depth map from (H, W)."""
    _write_sized(path, np.asarray(depth, np.float32), *depth.shape)


def read_flo(path: Path | str) -> NDArray[np.float32]:
    """Read a Middlebury `.flo` optical flow: (H, W, 2) as (u, v) pixels."""
    return _sized_floats(path, ".flo", 2)


def write_flo(path: Path | str, flow: Array) -> None:
    """Write a Middlebury `.flo` optical flow from (H, W, 2)."""
    _write_sized(path, np.asarray(flow, np.float32), *flow.shape[:2])


def read_cam(path: Path | str) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Read a Sintel `.cam`: K (3, 3) and cam_from_world (3, 4), OpenCV axes.

    Raises:  UserError for a wrong tag or length, values that no camera has, or focal lengths that are not positive.
    """
    data = _tagged_bytes(path, ".cam")
    if len(data) != 21 * 8:
        raise UserError(f"{path} has {len(data) + 4} bytes, expected 172 (a tag and 21 doubles); download it again")
    values = np.frombuffer(data, "<f8").astype(np.float64)
    if not (np.abs(values) < LARGEST).all() or min(values[0], values[4]) <= 0:
        raise UserError(f"{path} holds no camera: expected numbers and positive focal lengths; download it again")
    return values[:9].reshape(3, 3), values[9:].reshape(3, 4)


def write_cam(path: Path | str, K: Array, cam_from_world: Array) -> None:
    """Write a Sintel `.cam` from K (3, 3) and cam_from_world (3 or 4, 4)."""
    with atomic_write(path) as stream:
        stream.write(struct.pack("<f", SINTEL_TAG))
        stream.write(np.asarray(K, "<f8").tobytes() + np.asarray(cam_from_world[:3], "<f8").tobytes())


def read_depth_npy(path: Path | str) -> NDArray[np.float32]:
    """Read a `.npy` depth map (NYU, DyCheck, converted predictions): (H, W) from (H, W) or (H, W, 1).

    Raises:  UserError if the file is missing, damaged, of another shape, or not numeric.
    """
    stored = read_npy(Path(path))
    if stored.ndim not in (2, 3) or stored.dtype.kind not in "fiu":
        raise UserError(f"{path} holds {stored.shape} of {stored.dtype}; expected numbers (H, W) or (H, W, 1)")
    if stored.ndim == 3 and stored.shape[-1] != 1:
        # The first channel of a map of points would be x, and be taken for z.
        raise UserError(f"{path} holds {stored.shape}; expected one depth for each pixel, (H, W) or (H, W, 1)")
    return np.asarray(stored if stored.ndim == 2 else stored[..., 0], np.float32)
