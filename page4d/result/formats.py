"""The table of export formats, in plain words, so that a command line can offer them without importing a writer."""

from __future__ import annotations

from typing import NamedTuple


class WriterPlace(NamedTuple):
    """Where the writer of a format stands, in `page4d.result.exports`, and what the format is in a few words.

    Note:    `axes` are the receiving tool's, which its writer follows; `pictures` is the folder that a format's files
             point into: there the pictures have to lie, at the size that the cameras have.
    """

    module: str
    function: str
    about: str
    axes: str
    pictures: str = ""

    @property
    def reads_pictures(self) -> bool:
        """Whether the files of this format point to pictures."""
        return bool(self.pictures)


_COLMAP_AXES = "camera from world, quaternion w x y z; the first pixel's centre is (0.5, 0.5)"
_DEPTH_AXES = "z in the frame's own camera, at the original image size"

WRITERS = {
    "ply": WriterPlace(
        "points",
        "write",
        "coloured points, all and still ones (MeshLab, CloudCompare)",
        axes="OpenCV's, the world is close to the first camera",
    ),
    "glb": WriterPlace(
        "gltf",
        "write",
        "points, cameras and their frusta (Blender, browsers)",
        axes="glTF's: x right, y up, z backward; cameras look along their -z",
    ),
    "colmap": WriterPlace(
        "colmap",
        "write_text",
        "COLMAP text model (Gaussian splatting, NeRF tools)",
        axes=_COLMAP_AXES,
        pictures="images",
    ),
    "colmap-bin": WriterPlace(
        "colmap",
        "write_binary",
        "COLMAP binary model",
        axes=_COLMAP_AXES,
        pictures="images",
    ),
    "nerfstudio": WriterPlace(
        "nerfstudio",
        "write",
        "transforms.json with points, masks and pictures (nerfstudio)",
        axes="world from camera, cameras look along their -z with y up; the first pixel's centre is (0.5, 0.5)",
        pictures="nerfstudio/images",
    ),
    "tum": WriterPlace(
        "frames",
        "export_tum",
        "camera path as a TUM trajectory (evo)",
        axes="world from camera, quaternion x y z w",
    ),
    "kitti": WriterPlace(
        "frames",
        "export_kitti",
        "camera path as KITTI poses, 12 numbers a line (evo)",
        axes="world from camera, the upper 3 x 4 row by row",
    ),
    "cameras": WriterPlace(
        "frames",
        "export_cameras",
        "K and pose of every frame as JSON",
        axes="OpenCV's, camera from world, the first pixel's centre is (0, 0): ours, for own scripts",
    ),
    "depth-png": WriterPlace(
        "frames",
        "export_depth_png",
        "depth maps, 16-bit PNG with their scale",
        axes=_DEPTH_AXES,
    ),
    "depth-npy": WriterPlace(
        "frames",
        "export_depth_npy",
        "depth maps, float32 NumPy arrays",
        axes=_DEPTH_AXES,
    ),
    "depth-exr": WriterPlace(
        "frames",
        "export_depth_exr",
        "depth maps, float32 OpenEXR (extra: exr)",
        axes=_DEPTH_AXES,
    ),
    "masks": WriterPlace(
        "frames",
        "export_masks",
        "moving masks, PNG, white = moving",
        axes="the original image's pixels",
    ),
    "rerun": WriterPlace(
        "rerun_log",
        "write",
        "a .rrd recording (extra: rerun)",
        axes="OpenCV's; the first pixel's centre is (0.5, 0.5)",
    ),
}
"""Every export format by its name."""
