"""A COLMAP sparse model: cameras, images and coloured points with their observations, as text or binary.

Source:  https://colmap.github.io/format.html (file layouts); COLMAP puts the centre of the first pixel at (0.5, 0.5),
         so principal points and observations gain half a pixel.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from page4d.geometry import matrix_to_quaternion, project, transform
from page4d.io.number_rows import number_rows
from page4d.result.cloud import Cloud
from page4d.result.exports.options import ExportOptions, subfolder
from page4d.result.exports.pictures import picture_names, write_pictures
from page4d.result.pixel_map import HALF_PIXEL, PixelMap
from page4d.schema import Prediction, atomic_write

_PINHOLE = 1  # model id in the binary format; parameters fx, fy, cx, cy
_MAX_POINTS = 100_000
_DEPTH_AGREES = 0.02


@dataclass(frozen=True)
class ColmapSightings:
    """Which image sees which point where.

    Shapes:  image and point indices (M,), pixels (M, 2), sorted by image.
    """

    image: NDArray[np.int32]
    point: NDArray[np.int32]
    pixels: NDArray[np.float64]

    def of_image(self, i: int) -> slice:
        """The sightings of image i."""
        first, last = np.searchsorted(self.image, [i, i + 1])
        return slice(int(first), int(last))

    def by_point(self, points: int) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
        """(image index, index of the sighting within that image), (M, 2), point after point.

        The second array (points + 1,) says where each point's sightings begin and end.
        """
        of_image = np.bincount(self.image)
        first_of_image = np.repeat((np.cumsum(of_image) - of_image).astype(np.int32), of_image)
        within_image = np.arange(len(self.image), dtype=np.int32) - first_of_image
        order = np.argsort(self.point, kind="stable")
        ends = np.append(0, np.cumsum(np.bincount(self.point, minlength=points)))
        return np.stack((self.image, within_image), -1)[order], ends


@dataclass(frozen=True)
class Model:
    """A sparse model in COLMAP's convention.

    Shapes:  size (C, 2) as width, height; lens (C, 4) = fx, fy, cx, cy; camera (S,) of 0 ... C - 1; quaternion (S, 4)
             as w, x, y, z; translation (S, 3); a cloud of N points and their sightings.
    """

    names: tuple[str, ...]
    camera: NDArray[np.int64]
    size: NDArray[np.int64]
    lens: NDArray[np.float64]
    quaternion: NDArray[np.float64]
    translation: NDArray[np.float64]
    sightings: ColmapSightings
    cloud: Cloud


def model_of(prediction: Prediction, options: ExportOptions) -> Model:
    """Cameras and still points of a prediction, every point with all frames that see it."""
    cloud = options.static_cloud(prediction)
    if len(cloud) > _MAX_POINTS:
        cloud = cloud[np.sort(np.random.default_rng(0).choice(len(cloud), _MAX_POINTS, replace=False))]
    pose, K = torch.from_numpy(prediction.cam_from_world).double(), options.intrinsics(prediction)
    focal, centre = K[:, [0, 1], [0, 1]], K[:, :2, 2] + HALF_PIXEL
    xyzw = matrix_to_quaternion(pose[:, :, :3]).numpy()
    wxyz, translation = xyzw[:, [3, 0, 1, 2]], pose[:, :, 3].numpy()
    size = np.array(options.sizes(prediction), np.int64)[:, ::-1]
    lens = np.concatenate((focal, centre), 1)
    names, sightings = picture_names(prediction, options), _sightings(prediction, cloud, options)
    camera = np.arange(len(prediction))
    if options.camera == "single":
        camera, size, lens = np.zeros_like(camera), size[:1], lens[:1]
    return Model(names, camera, size, lens, wxyz, translation, sightings, cloud)


def _sightings(prediction: Prediction, cloud: Cloud, options: ExportOptions) -> ColmapSightings:
    """Every point in the frame it comes from, and in all frames that agree with it."""
    xyz, to_original = torch.from_numpy(cloud.xyz).double(), PixelMap.of(prediction)
    images, points, places = [], [], []
    for i in range(len(prediction)):
        pose, K = (torch.from_numpy(a[i]).double() for a in (prediction.cam_from_world, prediction.K))
        found, z = (value.numpy() for value in project(transform(pose, xyz), K))
        own = cloud.frame == i
        seen = np.flatnonzero(_sees(prediction.depth[i], found, z) | own)
        place = np.where(own[seen, None], cloud.pixel[seen], found[seen])
        if options.size == "original":
            place = to_original[i].to_original(place)
        images.append(np.full(len(seen), i, np.int32))
        points.append(seen.astype(np.int32))
        places.append(place + HALF_PIXEL)
    return ColmapSightings(np.concatenate(images), np.concatenate(points), np.concatenate(places))


def _sees(depth: NDArray[np.float32], pixels: NDArray[np.float64], z: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which points (N,), projected to `pixels` (N, 2) at depth z, lie in the picture and at the depth seen there."""
    last = np.array(depth.shape[::-1]) - 1
    nearest = np.clip(np.rint(pixels), 0, last)
    inside = (np.abs(pixels - nearest) <= HALF_PIXEL).all(1)
    column, row = nearest.astype(np.int64).T
    # A point behind the camera has a negative z, which agrees with no depth.
    return np.asarray(inside & (np.abs(depth[row, column] - z) <= _DEPTH_AGREES * np.abs(z)))


def write_text(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """`sparse/0/cameras.txt`, `images.txt`, `points3D.txt`, and `images/` where the pictures are known."""
    model = model_of(prediction, options)
    parts = {"cameras": _camera_lines(model), "images": _image_lines(model), "points3D": _point_lines(model)}
    return _write_model(parts, folder, ".txt") + write_pictures(prediction, folder, options)


def _camera_lines(model: Model) -> Iterator[bytes]:
    rows = np.concatenate((model.size, model.lens), 1).tolist()
    for number, row in enumerate(rows, 1):
        yield b"%d PINHOLE %d %d %.12g %.12g %.12g %.12g\n" % (number, *row)


def _image_lines(model: Model) -> Iterator[bytes]:
    """Two lines per image: pose, camera and name, then x, y and point of every observation."""
    for i, name in enumerate(model.names):
        part = model.sightings.of_image(i)
        pose = " ".join(f"{v:.17g}" for v in (*model.quaternion[i], *model.translation[i]))
        yield f"{i + 1} {pose} {model.camera[i] + 1} {name}\n".encode()
        x, y = model.sightings.pixels[part].T
        seen, _ = number_rows([(x, 6), (y, 6), (model.sightings.point[part] + 1, 0)])
        yield seen[1:]
        yield b"\n"


def _point_lines(model: Model) -> Iterator[bytes]:
    """Place, colour and an unknown error of every point, then its observations."""
    sightings, ends = model.sightings.by_point(len(model.cloud))
    text, stops = number_rows([(sightings[:, 0] + 1, 0), (sightings[:, 1], 0)])
    bounds = np.append(0, stops)[ends].tolist()
    places = zip(model.cloud.xyz.tolist(), model.cloud.rgb.tolist(), bounds, bounds[1:], strict=False)
    for number, (xyz, rgb, first, last) in enumerate(places, 1):
        head = b"%d %.9g %.9g %.9g %d %d %d 0" % (number, *xyz, *rgb)
        yield head + text[first:last] + b"\n"


def write_binary(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """`sparse/0/cameras.bin`, `images.bin`, `points3D.bin`, and `images/` where the pictures are known."""
    model = model_of(prediction, options)
    parts = {"cameras": _camera_bytes(model), "images": _image_bytes(model), "points3D": _point_bytes(model)}
    return _write_model(parts, folder, ".bin") + write_pictures(prediction, folder, options)


def _camera_bytes(model: Model) -> Iterator[bytes]:
    yield struct.pack("<Q", len(model.size))
    for i, ((width, height), lens) in enumerate(zip(model.size, model.lens, strict=True)):
        yield struct.pack("<iiQQ4d", i + 1, _PINHOLE, width, height, *lens)


def _image_bytes(model: Model) -> Iterator[bytes]:
    yield struct.pack("<Q", len(model.names))
    row = np.dtype([("xy", "<f8", 2), ("point", "<i8")])
    for i, name in enumerate(model.names):
        part = model.sightings.of_image(i)
        seen = np.empty(part.stop - part.start, row)
        seen["xy"], seen["point"] = model.sightings.pixels[part], model.sightings.point[part] + 1
        pose = (*model.quaternion[i], *model.translation[i])
        yield struct.pack("<i7di", i + 1, *pose, model.camera[i] + 1)
        yield name.encode() + b"\0" + struct.pack("<Q", len(seen))
        yield seen.tobytes()


def _point_bytes(model: Model) -> Iterator[bytes]:
    sightings, ends = model.sightings.by_point(len(model.cloud))
    from_one = (sightings + np.array([1, 0])).astype("<i4").tobytes()
    pair = 2 * 4  # bytes of one sighting
    yield struct.pack("<Q", len(model.cloud))
    places = zip(model.cloud.xyz.tolist(), model.cloud.rgb.tolist(), strict=True)
    bounds = zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True)
    for number, ((xyz, rgb), (first, last)) in enumerate(zip(places, bounds, strict=True), 1):
        head = struct.pack("<Q3d3BdQ", number, *xyz, *rgb, 0.0, last - first)
        yield head + from_one[pair * first : pair * last]


def _write_model(parts: dict[str, Iterator[bytes]], folder: Path, suffix: str) -> list[Path]:
    target = subfolder(folder, "sparse/0")
    files = {target / f"{name}{suffix}": pieces for name, pieces in parts.items()}
    for path, pieces in files.items():
        with atomic_write(path) as stream:
            stream.writelines(pieces)
    return list(files)
