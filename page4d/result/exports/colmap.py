"""A COLMAP sparse model: cameras, images and coloured points with their observations, as text or binary.

Source:  https://colmap.github.io/format.html (file layouts); COLMAP puts the centre of the first pixel at (0.5, 0.5),
         so principal points and observations gain half a pixel.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from page4d.geometry import matrix_to_quaternion, project, transform
from page4d.io.images import open_rgb
from page4d.result.cloud import Cloud
from page4d.result.exports.options import ExportOptions, file_names, subfolder
from page4d.result.pixel_map import PixelMap
from page4d.schema import Prediction, UserError, atomic_write

_PINHOLE = 1  # model id in the binary format; parameters fx, fy, cx, cy
_MAX_POINTS = 100_000
_DEPTH_AGREES = 0.02


@dataclass(frozen=True)
class Model:
    """A sparse model in COLMAP's convention.

    Shapes:  size (S, 2) as width, height; lens (S, 4) = fx, fy, cx, cy; quaternion (S, 4) as w, x, y, z;
             translation (S, 3); observations (M, 2) in pixels, with image and point indices (M,), sorted by image;
             xyz (N, 3), rgb (N, 3).
    """

    names: tuple[str, ...]
    size: NDArray[np.int64]
    lens: NDArray[np.float64]
    quaternion: NDArray[np.float64]
    translation: NDArray[np.float64]
    observations: NDArray[np.float64]
    image_of: NDArray[np.int64]
    point_of: NDArray[np.int64]
    xyz: NDArray[np.float64]
    rgb: NDArray[np.uint8]

    def of_image(self, i: int) -> slice:
        """The observations of image i."""
        first, last = np.searchsorted(self.image_of, [i, i + 1])
        return slice(int(first), int(last))

    def tracks(self) -> list[NDArray[np.int64]]:
        """For every point its (image index, index of the observation within that image) pairs, (L, 2) each."""
        start = np.searchsorted(self.image_of, self.image_of)
        pairs = np.stack((self.image_of, np.arange(len(self.image_of)) - start), -1)
        order = np.argsort(self.point_of, kind="stable")
        return np.split(pairs[order], np.searchsorted(self.point_of[order], np.arange(1, len(self.xyz))))


def model_of(prediction: Prediction, options: ExportOptions) -> Model:
    """Cameras and still points of a prediction, every point with all frames that see it."""
    cloud = options.static_cloud(prediction)
    if len(cloud) > _MAX_POINTS:
        cloud = cloud[np.sort(np.random.default_rng(0).choice(len(cloud), _MAX_POINTS, replace=False))]
    pose, K = torch.from_numpy(prediction.cam_from_world).double(), options.intrinsics(prediction)
    image_of, point_of, pixels = _observations(prediction, cloud)
    if options.size == "original":
        pixels = PixelMap.of(prediction)[image_of].to_original(pixels)
    return Model(
        names=_image_names(prediction, options),
        size=np.array(options.sizes(prediction), np.int64)[:, ::-1],
        lens=np.stack((K[:, 0, 0], K[:, 1, 1], K[:, 0, 2] + 0.5, K[:, 1, 2] + 0.5), -1),
        quaternion=matrix_to_quaternion(pose[:, :, :3]).numpy()[:, [3, 0, 1, 2]],
        translation=pose[:, :, 3].numpy(),
        observations=pixels + 0.5,
        image_of=image_of,
        point_of=point_of,
        xyz=cloud.xyz.astype(np.float64),
        rgb=cloud.rgb,
    )


def _observations(
    prediction: Prediction, cloud: Cloud
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float64]]:
    """Image index, point index and input pixel of every sighting: the frame a point comes from, and all that agree."""
    height, width = prediction.depth.shape[1:]
    xyz = torch.from_numpy(cloud.xyz).double()
    images, points, pixels = [], [], []
    for i in range(len(prediction)):
        pose, K = (torch.from_numpy(a[i]).double() for a in (prediction.cam_from_world, prediction.K))
        found, z = (value.numpy() for value in project(transform(pose, xyz), K))
        column, row = (np.clip(np.rint(found[:, k]).astype(np.int64), 0, n - 1) for k, n in ((0, width), (1, height)))
        inside = (z > 0) & (np.abs(found[:, 0] - column) <= 0.5) & (np.abs(found[:, 1] - row) <= 0.5)
        agrees = np.abs(prediction.depth[i, row, column] - z) <= _DEPTH_AGREES * np.abs(z)
        seen = np.flatnonzero((inside & agrees) | (cloud.frame == i))
        own = cloud.frame[seen] == i
        images.append(np.full(len(seen), i, np.int64))
        points.append(seen)
        pixels.append(np.where(own[:, None], cloud.pixel[seen], found[seen]).astype(np.float64))
    return np.concatenate(images), np.concatenate(points), np.concatenate(pixels)


def _image_names(prediction: Prediction, options: ExportOptions) -> tuple[str, ...]:
    """Names with a picture's extension: files written from the prediction are PNG, the user's own keep their names."""
    own = options.size == "original"
    names = file_names(prediction)
    return tuple(name if own and Path(name).suffix else f"{Path(name).stem}.png" for name in names)


def write_text(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """`sparse/0/cameras.txt`, `images.txt`, `points3D.txt`, and `images/` where the pictures are known."""
    model = model_of(prediction, options)
    cameras = [
        f"{i + 1} PINHOLE {w} {h} " + " ".join(f"{v:.12g}" for v in lens)
        for i, ((w, h), lens) in enumerate(zip(model.size, model.lens, strict=True))
    ]
    images = []
    for i, name in enumerate(model.names):
        part = model.of_image(i)
        numbers = " ".join(f"{v:.17g}" for v in (*model.quaternion[i], *model.translation[i]))
        seen = zip(model.observations[part], model.point_of[part], strict=True)
        images += [f"{i + 1} {numbers} {i + 1} {name}", " ".join(f"{x:.6f} {y:.6f} {p + 1}" for (x, y), p in seen)]
    points = []
    for i, (xyz, rgb, track) in enumerate(zip(model.xyz, model.rgb, model.tracks(), strict=True)):
        sightings = " ".join(f"{image + 1} {index}" for image, index in track)
        points.append(f"{i + 1} {xyz[0]:.9g} {xyz[1]:.9g} {xyz[2]:.9g} {rgb[0]} {rgb[1]} {rgb[2]} 0 {sightings}")
    target = subfolder(folder, "sparse/0")
    written = []
    for name, lines in (("cameras", cameras), ("images", images), ("points3D", points)):
        written.append(target / f"{name}.txt")
        with atomic_write(written[-1], "w") as stream:
            stream.write("\n".join(lines) + "\n")
    return written + _write_pictures(prediction, folder, options, model.names)


def write_binary(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
    """`sparse/0/cameras.bin`, `images.bin`, `points3D.bin`, and `images/` where the pictures are known."""
    model = model_of(prediction, options)
    cameras = struct.pack("<Q", len(model.size))
    for i, ((w, h), lens) in enumerate(zip(model.size, model.lens, strict=True)):
        cameras += struct.pack("<iiQQ4d", i + 1, _PINHOLE, w, h, *lens)
    images = [struct.pack("<Q", len(model.names))]
    row = np.dtype([("xy", "<f8", 2), ("point", "<i8")])
    for i, name in enumerate(model.names):
        part = model.of_image(i)
        images.append(struct.pack("<i7di", i + 1, *model.quaternion[i], *model.translation[i], i + 1))
        images.append(name.encode() + b"\0" + struct.pack("<Q", part.stop - part.start))
        seen = np.empty(part.stop - part.start, row)
        seen["xy"], seen["point"] = model.observations[part], model.point_of[part] + 1
        images.append(seen.tobytes())
    points = [struct.pack("<Q", len(model.xyz))]
    for i, (xyz, rgb, track) in enumerate(zip(model.xyz, model.rgb, model.tracks(), strict=True)):
        points.append(struct.pack("<Q3d3BdQ", i + 1, *xyz, *rgb.tolist(), 0.0, len(track)))
        points.append((track + np.array([1, 0])).astype("<i4").tobytes())
    target = subfolder(folder, "sparse/0")
    written = []
    for name, data in (("cameras", cameras), ("images", b"".join(images)), ("points3D", b"".join(points))):
        written.append(target / f"{name}.bin")
        with atomic_write(written[-1]) as stream:
            stream.write(data)
    return written + _write_pictures(prediction, folder, options, model.names)


def _write_pictures(prediction: Prediction, folder: Path, options: ExportOptions, names: tuple[str, ...]) -> list[Path]:
    """The pictures the cameras belong to: the network's own, or the user's copied; none if these are not at hand."""
    if options.size == "original" and options.images is None:
        return []
    target = subfolder(folder, "images")
    for i, name in enumerate(names):
        if options.size == "input":
            with atomic_write(target / name) as stream:
                Image.fromarray(prediction.images[i]).save(stream, "PNG")
            continue
        assert options.images is not None
        source = options.images / Path(prediction.frame_names[i]).with_suffix(Path(name).suffix).name
        height, width = prediction.original_hw[i]
        picture = open_rgb(source)
        if picture.size != (width, height):
            raise UserError(
                f"{source} is {picture.size[0]} x {picture.size[1]}, the prediction was made from {width} x {height}"
            )
        with atomic_write(target / name) as stream:
            stream.write(source.read_bytes())
    return [target / name for name in names]
