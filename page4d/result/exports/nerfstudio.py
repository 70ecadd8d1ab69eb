"""A nerfstudio data set: transforms.json with its pictures, moving masks and first points.

Source:  https://docs.nerf.studio/quickstart/data_conventions.html: camera to world with OpenGL camera axes (x right,
         y up, z backward), principal points counted from the corner of the first pixel, masks that are black where a
         pixel is left out.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from page4d.geometry import OPENGL_AXES
from page4d.io.point_files import write_ply
from page4d.result.cloud import unit_of, world_from_cam
from page4d.result.exports.names import file_stems
from page4d.result.exports.options import ExportOptions, subfolder
from page4d.result.exports.pictures import picture_names, write_pictures
from page4d.result.pixel_map import HALF_PIXEL
from page4d.schema import Prediction, atomic_write


def write(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """`nerfstudio/`: transforms.json, points.ply, masks/ where a moving mask is given, images/ where they are known.

    Frame:   the world is the prediction's, in cameras and points alike; only the cameras' own axes are turned.
    """
    target = subfolder(folder, "nerfstudio")
    pictures = write_pictures(prediction, target, options)
    cloud = options.static_cloud(prediction)
    write_ply(target / "points.ply", cloud.xyz, cloud.rgb)
    masks = [] if options.moving is None or options.keep_moving else _write_masks(prediction, target, options)
    rows = _frames(prediction, options)
    if masks:
        for row, mask in zip(rows, masks, strict=True):
            row["mask_path"] = f"masks/{mask.name}"
    text = {
        "camera_model": "OPENCV",
        "unit": unit_of(prediction),
        "ply_file_path": "points.ply",
        "frames": rows,
    }
    with atomic_write(target / "transforms.json", "w") as stream:
        json.dump(text, stream, indent=1)
    return [target / "transforms.json", target / "points.ply", *masks, *pictures]


def _frames(prediction: Prediction, options: ExportOptions) -> list[dict[str, Any]]:
    names = picture_names(prediction, options)
    poses = _world_from_opengl(prediction)
    lenses = map(_lens, options.intrinsics(prediction), options.sizes(prediction))
    rows = []
    for name, pose, lens in zip(names, poses, lenses, strict=True):
        rows.append({"file_path": f"images/{name}", "transform_matrix": pose.tolist(), **lens})
    return rows


def _lens(K: NDArray[np.float64], size_hw: tuple[int, int]) -> dict[str, float]:
    focal = {"fl_x": float(K[0, 0]), "fl_y": float(K[1, 1])}
    centre = {"cx": float(K[0, 2]) + HALF_PIXEL, "cy": float(K[1, 2]) + HALF_PIXEL}
    return focal | centre | {"w": size_hw[1], "h": size_hw[0]}


def _world_from_opengl(prediction: Prediction) -> NDArray[np.float64]:
    """Poses (S, 4, 4) of cameras that look along their own -z with y up."""
    poses = np.tile(np.eye(4), (len(prediction), 1, 1))
    poses[:, :3] = world_from_cam(prediction)
    poses[:, :3, :3] *= np.array(OPENGL_AXES)
    return poses


def _write_masks(prediction: Prediction, target: Path, options: ExportOptions) -> list[Path]:
    """White where a pixel is kept, black where it moves."""
    folder = subfolder(target, "masks")
    paths = [folder / f"{stem}.png" for stem in file_stems(prediction)]
    for i, path in enumerate(paths):
        still = ~options.moving_mask(prediction, i)
        with atomic_write(path) as stream:
            Image.fromarray(still.astype(np.uint8) * 255).save(stream, "PNG")
    return paths
