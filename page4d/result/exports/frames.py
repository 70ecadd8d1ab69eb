"""One file per frame, or one line: camera path, camera JSON, depth maps, moving masks."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from page4d.extras import extras_named
from page4d.io import trajectories
from page4d.io.depth_png import DEPTH_PNG_MAX, near_scale
from page4d.io.depth_png import write_depth_png as write_png
from page4d.result.cloud import unit_of
from page4d.result.exports.names import file_stems
from page4d.result.exports.options import ExportOptions, subfolder
from page4d.schema import Prediction, UserError, atomic_write

DEPTH_PNG_NOTE = """16-bit PNG: z depth in {unit} = value / scale; 0 = no depth, 65535 = that far or farther.
The scale of each file stands in scales.csv and in the file itself, as text chunk depth_scale, which
page4d.io.depth_png reads; share_beyond is the share of its pixels that are farther than 16 bits reach.
"""


def export_tum(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """`trajectory.txt`, time and camera-to-world pose per line; frame numbers where a frame has no time."""
    path = folder / "trajectory.txt"
    times = prediction.timestamps_s
    stamps = np.arange(len(times), dtype=np.float64) if np.isnan(times).any() else times
    poses = trajectories.rigid_inverse(prediction.cam_from_world)
    trajectories.write_tum(path, trajectories.Trajectory(poses, stamps))
    return [path]


def export_kitti(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """`poses_kitti.txt`: the camera-to-world matrix of every frame, 3 x 4 row by row on one line."""
    path = folder / "poses_kitti.txt"
    poses = trajectories.rigid_inverse(prediction.cam_from_world)
    trajectories.write_kitti(path, poses)
    return [path]


def export_cameras(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
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


def export_depth_png(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """`depth/NAME.png`, 16 bits, each with the scale that suits it; `depth/scales.csv` says the scales, too.

    Note:    a far region must not leave the near scene a handful of levels: the scale gives it `NEAR_LEVELS` of them,
             and what then lies beyond 16 bits is written as 65535, which means that far or farther.
    """
    target = subfolder(folder, "depth")
    paths = [target / f"{stem}.png" for stem in file_stems(prediction)]
    lines = [write_depth_map(path, options.depth(prediction, i)) for i, path in enumerate(paths)]
    return [*paths, *write_depth_notes(target, lines, unit_of(prediction))]


def write_depth_map(path: Path, depth: NDArray[np.float32]) -> str:
    """Write one depth map with the scale that suits it; its line of `scales.csv`."""
    scale = near_scale(depth)
    farthest = DEPTH_PNG_MAX / scale
    write_png(path, np.minimum(depth, farthest), scale)
    return f"{path.name},{scale:.9g},{(depth > farthest).mean():.6f}"


def write_depth_notes(target: Path, lines: Sequence[str], unit: str) -> list[Path]:
    """`scales.csv` and `README.txt` beside the depth maps that `write_depth_map` wrote."""
    table = "\n".join(["file,scale,share_beyond", *lines]) + "\n"
    notes = {"scales.csv": table, "README.txt": DEPTH_PNG_NOTE.format(unit=unit)}
    for name, text in notes.items():
        with atomic_write(target / name, "w") as stream:
            stream.write(text)
    return [target / name for name in notes]


def export_depth_npy(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """`depth_npy/NAME.npy`, float32 (H, W), 0 = no depth."""

    def encode(i: int) -> bytes:
        buffer = io.BytesIO()
        np.save(buffer, options.depth(prediction, i))
        return buffer.getvalue()

    return _each(prediction, subfolder(folder, "depth_npy"), "npy", encode)


def export_depth_exr(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """`depth_exr/NAME.exr`, one float32 channel `Z`, 0 = no depth.

    Raises:  UserError if the optional package OpenEXR is not installed.
    """
    with extras_named("EXR (depth-npy holds the same numbers)"):
        import OpenEXR
    target = subfolder(folder, "depth_exr")

    def encode(i: int) -> bytes:
        # OpenEXR writes to a named file only; it is read back so that the final name appears whole.
        scratch = target / f".{i}.part.exr"
        try:
            # A header for each: OpenEXR writes the size of the first picture into it.
            header = {"compression": OpenEXR.ZIP_COMPRESSION, "type": OpenEXR.scanlineimage}
            channels = {"Z": np.ascontiguousarray(options.depth(prediction, i), np.float32)}
            OpenEXR.File(header, channels).write(str(scratch))
            return scratch.read_bytes()
        except RuntimeError as error:  # OpenEXR's word for a disk that is full
            raise UserError(f"cannot write EXR into {folder.name}: {error}") from error
        finally:
            scratch.unlink(missing_ok=True)

    return _each(prediction, target, "exr", encode)


def export_masks(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """`masks/NAME.png`, 8 bits, 255 = moving. (COLMAP's own masks are the other way round: 0 = leave out.)"""

    target = subfolder(folder, "masks")
    paths = [target / f"{stem}.png" for stem in file_stems(prediction)]
    for i, path in enumerate(paths):
        write_mask(path, options.moving_mask(prediction, i))
    return paths


def write_mask(path: Path, moving: NDArray[np.bool_]) -> None:
    """Write one moving mask."""
    with atomic_write(path) as stream:
        Image.fromarray(moving.astype(np.uint8) * 255).save(stream, "PNG")


def _each(prediction: Prediction, folder: Path, extension: str, encode: Callable[[int], bytes]) -> list[Path]:
    paths = [folder / f"{stem}.{extension}" for stem in file_stems(prediction)]
    for i, path in enumerate(paths):
        with atomic_write(path) as stream:
            stream.write(encode(i))
    return paths
