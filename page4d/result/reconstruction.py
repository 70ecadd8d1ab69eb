"""Cameras, points and sightings as pycolmap holds them, for what COLMAP does with them in memory."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from page4d.extras import extras_named

if TYPE_CHECKING:
    import pycolmap


@dataclass(frozen=True)
class Lens:
    """A camera of COLMAP's: the name of its model and what that calls its parameters, in COLMAP's pixels."""

    kind: str
    parameters: Sequence[float]
    width: int
    height: int


@dataclass(frozen=True)
class Shown:
    """One image: cam_from_world (3, 4), its lens by number, and which points (n,) it shows at which pixels (n, 2)."""

    pose: NDArray[Any]
    lens: int
    pixels: NDArray[Any]
    points: NDArray[np.int64]


def reconstruction(
    xyz: NDArray[Any], rgb: NDArray[np.uint8], lenses: Sequence[Lens], images: Sequence[Shown]
) -> pycolmap.Reconstruction:
    """A reconstruction of N points; points, cameras and images are numbered from 1 in their order.

    Raises:  UserError without pycolmap.
    """
    with extras_named("a COLMAP model"):
        import pycolmap
    made = pycolmap.Reconstruction()
    ids = [made.add_point3D(point, pycolmap.Track(), colour) for point, colour in zip(xyz, rgb, strict=True)]
    for number, lens in enumerate(lenses, 1):
        size = {"width": lens.width, "height": lens.height}
        camera = pycolmap.Camera(model=lens.kind, params=lens.parameters, camera_id=number, **size)
        made.add_camera_with_trivial_rig(camera)
    for number, shown in enumerate(images, 1):
        seen = [pycolmap.Point2D(xy, ids[p]) for xy, p in zip(shown.pixels, shown.points, strict=True)]
        image = pycolmap.Image(
            name=f"image_{number}", points2D=pycolmap.Point2DList(seen), camera_id=shown.lens + 1, image_id=number
        )
        made.add_image_with_trivial_frame(image, pycolmap.Rigid3d(shown.pose))
        for index, point in enumerate(shown.points):
            made.points3D[ids[point]].track.add_element(number, index)
    return made
