"""The table of export formats, in plain words, so that a command line can offer them without importing a writer."""

from __future__ import annotations

from typing import NamedTuple


class WriterPlace(NamedTuple):
    """Where the writer of a format stands, in `page4d.result.exports`, and what the format is in a few words."""

    module: str
    function: str
    about: str


_TABLE = {
    "ply": ("points", "write", "coloured points, all and still ones (MeshLab, CloudCompare)"),
    "glb": ("gltf", "write", "points, cameras and their frusta (Blender, browsers)"),
    "colmap": ("colmap", "write_text", "COLMAP text model (Gaussian splatting, NeRF tools)"),
    "colmap-bin": ("colmap", "write_binary", "COLMAP binary model"),
    "nerfstudio": ("nerfstudio", "write", "transforms.json with points, masks and pictures (nerfstudio)"),
    "tum": ("frames", "export_tum", "camera path as a TUM trajectory (evo)"),
    "kitti": ("frames", "export_kitti", "camera path as KITTI poses, 12 numbers a line (evo)"),
    "cameras": ("frames", "export_cameras", "K and pose of every frame as JSON"),
    "depth-png": ("frames", "export_depth_png", "depth maps, 16-bit PNG with their scale"),
    "depth-npy": ("frames", "export_depth_npy", "depth maps, float32 NumPy arrays"),
    "depth-exr": ("frames", "export_depth_exr", "depth maps, float32 OpenEXR (extra: exr)"),
    "masks": ("frames", "export_masks", "moving masks, PNG, white = moving"),
    "rerun": ("rerun_log", "write", "a .rrd recording (extra: rerun)"),
}
WRITERS = {name: WriterPlace(*row) for name, row in _TABLE.items()}
