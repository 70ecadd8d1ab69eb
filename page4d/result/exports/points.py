"""Points as PLY."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from page4d.io.point_files import write_ply
from page4d.result.cloud import Cloud, cloud_of
from page4d.result.exports.options import UP_AXES, ExportOptions
from page4d.schema import Prediction


def write(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """`points.ply` with every point and, where a moving mask is given, `points_static.ply` without the moving ones.

    Frame:   the prediction's world in the axes that `options.up` names, OpenCV's if nothing else is asked for.
    """
    cloud = cloud_of(prediction, options.cloud, options.moving)
    paths = [folder / "points.ply"]
    _write(paths[0], cloud, options)
    if options.moving is not None and not cloud.moving.all():
        paths.append(folder / "points_static.ply")
        _write(paths[1], cloud[~cloud.moving], options)
    return paths


def _write(path: Path, cloud: Cloud, options: ExportOptions) -> None:
    turned = cloud.xyz @ UP_AXES[options.up].T.astype(np.float32)
    write_ply(path, turned, cloud.rgb)
