"""A recording for the rerun viewer: points, cameras, pictures and depth along a time line."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from page4d.extras import extras_named
from page4d.result.cloud import cloud_of, world_from_cam
from page4d.result.exports.options import ExportOptions
from page4d.schema import Prediction, atomic_write


def write(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """`scene.rrd`; axes are OpenCV's, which rerun calls RDF (right, down, forward).

    Note:    rerun puts the centre of the first pixel at (0.5, 0.5), so the principal point moves by half a pixel.
    Source:  https://github.com/rerun-io/rerun/issues/3896 (the convention is not in rerun's reference).
    Raises:  UserError if the optional package rerun-sdk is not installed.
    """
    with extras_named("the rerun format"):
        import rerun as rr
    recording = rr.RecordingStream("page4d")
    stream = rr.binary_stream(recording)
    recording.log("world", rr.ViewCoordinates.RDF, static=True)
    cloud, poses = cloud_of(prediction, options.cloud, options.moving), world_from_cam(prediction)
    still = cloud[~cloud.moving]
    if options.moving is not None and len(still):
        recording.log("world/still", rr.Points3D(still.xyz, colors=still.rgb), static=True)
    height, width = prediction.depth.shape[1:]
    half = np.array([[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]])
    for i, (pose, K) in enumerate(zip(poses, prediction.K, strict=True)):
        recording.set_time("frame", sequence=i)
        here = cloud[(cloud.frame == i) & (cloud.moving if options.moving is not None else np.True_)]
        recording.log("world/points", rr.Points3D(here.xyz, colors=here.rgb))
        recording.log("world/camera", rr.Transform3D(translation=pose[:, 3], mat3x3=pose[:, :3]))
        recording.log("world/camera/image", rr.Pinhole(image_from_camera=K + half, width=width, height=height))
        recording.log("world/camera/image", rr.Image(prediction.images[i]))
        recording.log("world/camera/image/depth", rr.DepthImage(prediction.depth[i], meter=1.0))
    data = stream.read(flush=True)
    path = folder / "scene.rrd"
    with atomic_write(path) as out:
        out.write(data)
    return [path]
