"""One file per frame, or one line: camera path, camera JSON, depth maps, moving masks."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from page4d.extras import extras_named
from page4d.io import trajectories
from page4d.io.depth_png import depth_png_scale
from page4d.io.depth_png import write_depth_png as write_png
from page4d.result.cloud import unit_of
from page4d.result.exports.options import ExportOptions, file_stems, subfolder
from page4d.schema import Prediction, UserError, atomic_write


def write_tum(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """`trajectory.txt`, time and camera-to-world pose per line; frame numbers where a frame has no time."""
    path = folder / "trajectory.txt"
    times = prediction.timestamps_s
    stamps = np.arange(len(times), dtype=np.float64) if np.isnan(times).any() else times
    poses = trajectories.rigid_inverse(prediction.cam_from_world)
    trajectories.write_tum(path, trajectories.Trajectory(poses, stamps))
    return [path]


def write_cameras(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """`cameras.json`: K and `cam_from_world` of every frame in our own convention, with unit and sizes."""
    pairs = zip(options.sizes(prediction), options.intrinsics(prediction), strict=True)
    rows = [_camera_row(prediction, i, size, K) for i, (size, K) in enumerate(pairs)]
    text = {
        "convention": "OpenCV axes; cam_from_world is [R | t]; pixel (0, 0) is centred at (0, 0)",
        "unit": unit_of(prediction),
        "scale": prediction.meta.get("scale"),
        "frames": rows,
    }
    path = folder / "cameras.json"
    with atomic_write(path, "w") as stream:
        json.dump(text, stream, indent=1)
    return [path]


def _camera_row(prediction: Prediction, i: int, size_hw: tuple[int, int], K: NDArray[np.float64]) -> dict[str, Any]:
    (height, width), time_s = size_hw, float(prediction.timestamps_s[i])
    pose = prediction.cam_from_world[i].astype(float).tolist()
    row = {"name": prediction.frame_names[i], "width": width, "height": height, "K": K.tolist(), "cam_from_world": pose}
    return row | {"time_s": None if np.isnan(time_s) else time_s}


def write_depth_png(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """`depth/NAME.png`, 16 bits; every file holds its scale as text chunk, `depth/README.txt` says it too."""
    target = subfolder(folder, "depth")
    maps = [options.depth(prediction, i) for i in range(len(prediction))]
    scale = min(depth_png_scale(depth) for depth in maps)
    paths = [target / f"{stem}.png" for stem in file_stems(prediction)]
    for path, depth in zip(paths, maps, strict=True):
        write_png(path, depth, scale)
    note = f"16-bit PNG: z depth in {unit_of(prediction)} = value / {scale:g}; 0 = no depth.\n"
    with atomic_write(target / "README.txt", "w") as stream:
        stream.write(note)
    return [*paths, target / "README.txt"]


def write_depth_npy(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """`depth_npy/NAME.npy`, float32 (H, W), 0 = no depth."""

    def encode(i: int) -> bytes:
        buffer = io.BytesIO()
        np.save(buffer, options.depth(prediction, i))
        return buffer.getvalue()

    return _each(prediction, subfolder(folder, "depth_npy"), "npy", encode)


def write_depth_exr(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """`depth_exr/NAME.exr`, one float32 channel `Z`, 0 = no depth.

    Raises:  UserError if the optional package OpenEXR is not installed.
    """
    with extras_named("EXR (depth-npy holds the same numbers)"):
        import OpenEXR
    target = subfolder(folder, "depth_exr")
    header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}

    def encode(i: int) -> bytes:
        # OpenEXR writes to a named file only; it is read back so that the final name appears whole.
        scratch = target / f".{i}.part.exr"
        try:
            channels = {"Z": np.ascontiguousarray(options.depth(prediction, i), np.float32)}
            OpenEXR.File(header, channels).write(str(scratch))
            return scratch.read_bytes()
        except RuntimeError as error:  # OpenEXR's word for a disk that is full
            raise UserError(f"cannot write EXR into {folder.name}: {error}") from error
        finally:
            scratch.unlink(missing_ok=True)

    return _each(prediction, target, "exr", encode)


def write_masks(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """`masks/NAME.png`, 8 bits, 255 = moving. (COLMAP's own masks are the other way round: 0 = leave out.)"""

    def encode(i: int) -> bytes:
        buffer = io.BytesIO()
        Image.fromarray(options.moving_mask(prediction, i).astype(np.uint8) * 255).save(buffer, "PNG")
        return buffer.getvalue()

    return _each(prediction, subfolder(folder, "masks"), "png", encode)


def _each(prediction: Prediction, folder: Path, extension: str, encode: Callable[[int], bytes]) -> list[Path]:
    paths = [folder / f"{stem}.{extension}" for stem in file_stems(prediction)]
    for i, path in enumerate(paths):
        with atomic_write(path) as stream:
            stream.write(encode(i))
    return paths
