"""Points as PLY."""

from __future__ import annotations

from pathlib import Path

from page4d.io.point_files import write_ply
from page4d.result.cloud import cloud_of
from page4d.result.exports.options import ExportOptions
from page4d.schema import Prediction


def write(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """`points.ply` with every point and, where a moving mask is given, `points_static.ply` without the moving ones."""
    cloud = cloud_of(prediction, options.cloud, options.moving)
    paths = [folder / "points.ply"]
    write_ply(paths[0], cloud.xyz, cloud.rgb)
    if options.moving is not None and not cloud.moving.all():
        still = cloud[~cloud.moving]
        paths.append(folder / "points_static.ply")
        write_ply(paths[1], still.xyz, still.rgb)
    return paths
