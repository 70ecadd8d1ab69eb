"""The table of export formats, and the one function that writes any of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from page4d.result.exports import colmap, frames, gltf, nerfstudio, points, rerun_log
from page4d.result.exports.options import ExportOptions
from page4d.schema import Prediction, UserError

__all__ = ["FORMATS", "ExportOptions", "export"]

Writer = Callable[[Prediction, Path, ExportOptions], list[Path]]


class Format(NamedTuple):
    """One export format: what writes it, and what it is in a few words."""

    write: Writer
    about: str


_TABLE = {
    "ply": (points.write, "coloured points, all and still ones (MeshLab, CloudCompare)"),
    "glb": (gltf.write, "points, cameras and their frusta (Blender, browsers)"),
    "colmap": (colmap.write_text, "COLMAP text model (Gaussian splatting, NeRF tools)"),
    "colmap-bin": (colmap.write_binary, "COLMAP binary model"),
    "nerfstudio": (nerfstudio.write, "transforms.json with points, masks and pictures (nerfstudio)"),
    "tum": (frames.export_tum, "camera path as a TUM trajectory (evo)"),
    "kitti": (frames.export_kitti, "camera path as KITTI poses, 12 numbers a line (evo)"),
    "cameras": (frames.export_cameras, "K and pose of every frame as JSON"),
    "depth-png": (frames.export_depth_png, "depth maps, 16-bit PNG with their scale"),
    "depth-npy": (frames.export_depth_npy, "depth maps, float32 NumPy arrays"),
    "depth-exr": (frames.export_depth_exr, "depth maps, float32 OpenEXR (extra: exr)"),
    "masks": (frames.export_masks, "moving masks, PNG, white = moving"),
    "rerun": (rerun_log.write, "a .rrd recording (extra: rerun)"),
}
FORMATS = {name: Format(write, about) for name, (write, about) in _TABLE.items()}


def export(
    prediction: Prediction, folder: Path, formats: list[str], options: ExportOptions | None = None
) -> dict[str, list[Path]]:
    """Write a prediction in the named formats into an existing folder.

    Raises:  UserError for an unknown format, nothing valid to write, a missing optional package, or a folder that
             cannot be written. Each file is whole or absent; give a temporary folder for all or nothing.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise UserError(f"export formats {unknown or 'missing'}: choose from {', '.join(FORMATS)}")
    options = options or ExportOptions()
    options.check(prediction)
    prediction = options.applied(prediction)
    return {name: FORMATS[name].write(prediction, folder, options) for name in formats}
