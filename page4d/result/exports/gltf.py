"""Points, cameras and frusta as one binary glTF file."""

from __future__ import annotations

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import trimesh
from numpy.typing import NDArray

from page4d.geometry import OPENGL_AXES
from page4d.result.cloud import cloud_of, frustum_corners, frustum_size, world_from_cam
from page4d.result.exports.options import ExportOptions
from page4d.schema import Prediction, atomic_write

GLTF_FROM_OPENCV = np.diag(OPENGL_AXES)
_UNTYPED: Any = trimesh  # trimesh has no annotations on these calls
FRUSTUM_COLOUR = (31, 95, 168, 255)


def write(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """`scene.glb`: a point cloud, one perspective camera per frame, and line frusta for viewers that hide cameras.

    Frame:   glTF (x right, y up, z backward), the world is the prediction's turned over; unit as in the prediction.
    Note:    glTF cameras have no principal point and no skew: the field of view is kept, an off-centre point is not.
    """
    cloud = cloud_of(prediction, options.cloud, options.moving)
    scene, library = trimesh.Scene(), _UNTYPED
    scene.add_geometry(library.PointCloud(cloud.xyz @ GLTF_FROM_OPENCV, colors=cloud.rgb), geom_name="points")
    scene.add_geometry(_frusta(prediction, cloud.xyz), geom_name="camera frusta")
    add_cameras = partial(_add_cameras, prediction=prediction, options=options)
    data = library.exchange.gltf.export_glb(scene, tree_postprocessor=add_cameras)
    path = folder / "scene.glb"
    with atomic_write(path) as stream:
        stream.write(data)
    return [path]


def camera_matrices(prediction: Prediction) -> NDArray[np.float64]:
    """World from camera (S, 4, 4) in glTF axes; each camera looks along its own -z with y up."""
    pose = world_from_cam(prediction)
    matrix = np.tile(np.eye(4), (len(pose), 1, 1))
    matrix[:, :3, :3] = GLTF_FROM_OPENCV @ pose[:, :, :3] @ GLTF_FROM_OPENCV
    matrix[:, :3, 3] = pose[:, :, 3] @ GLTF_FROM_OPENCV
    return matrix


def _add_cameras(tree: dict[str, Any], prediction: Prediction, options: ExportOptions) -> None:
    near = float(prediction.depth[prediction.depth > 0].min()) * 0.1
    roots = tree["scenes"][tree.get("scene", 0)]["nodes"]
    lenses = [_lens(K, size) for K, size in zip(options.intrinsics(prediction), options.sizes(prediction), strict=True)]
    tree["cameras"] = []
    for name, matrix, lens in zip(prediction.frame_names, camera_matrices(prediction), lenses, strict=True):
        tree["cameras"].append({"type": "perspective", "name": name, "perspective": {**lens, "znear": near}})
        node = {"name": f"camera {name}", "camera": len(tree["cameras"]) - 1, "matrix": matrix.T.ravel().tolist()}
        roots.append(len(tree["nodes"]))
        tree["nodes"].append(node)


def _lens(K: NDArray[np.float64], size_hw: tuple[int, int]) -> dict[str, float]:
    """Field of view and aspect ratio; pixels may be oblong (fx != fy), and glTF asks for the ratio in angles."""
    half_height, half_width = size_hw[0] / (2 * K[1, 1]), size_hw[1] / (2 * K[0, 0])
    return {"yfov": 2 * math.atan(half_height), "aspectRatio": float(half_width / half_height)}


def _frusta(prediction: Prediction, xyz: NDArray[np.float32]) -> Any:
    corners = frustum_corners(prediction, frustum_size(prediction, xyz)) @ GLTF_FROM_OPENCV
    edges = np.array([[0, 1], [0, 2], [0, 3], [0, 4], [1, 2], [2, 3], [3, 4], [4, 1]])
    lines = trimesh.load_path(corners[:, edges].reshape(-1, 2, 3))
    lines.colors = np.tile(np.array([FRUSTUM_COLOUR], np.uint8), (len(lines.entities), 1))
    return lines
