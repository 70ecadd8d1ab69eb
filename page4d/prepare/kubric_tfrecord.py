"""MOVi TFRecords (the public Kubric release) to the folders that a Kubric worker writes, without TensorFlow.

    <out>/<split>_<video name>/
      rgba_00000.png  segmentation_00000.png      the stored PNGs, byte for byte
      depth_00000.tiff                            float32 metres: the stored uint16 over the video's depth_range
      metadata.json                               camera, instances, metadata

The loader of `page4d.data.datasets.kubric` reads them. Depth is the distance to the camera's centre, as stored.
"""

from __future__ import annotations

import io
import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from page4d.counted import counted
from page4d.data.manifest import Manifest
from page4d.io.names import checked_name
from page4d.prepare.plans import Plan
from page4d.prepare.tfrecord import Values, parse_example, read_records, single
from page4d.schema import UserError

MANIFEST = "manifest_kubric.json"
_METADATA = ("video_name", "num_frames", "num_instances", "height", "width", "depth_range")
_CAMERA = ("focal_length", "sensor_width", "field_of_view", "positions", "quaternions")
_INSTANCES = ("positions", "quaternions", "is_dynamic", "asset_id")
_GROUPS = {"metadata": _METADATA, "camera": _CAMERA, "instances": _INSTANCES}
_PICTURES = ("video", "segmentations", "depth")
FEATURES = frozenset((*_PICTURES, *(f"{group}/{name}" for group, names in _GROUPS.items() for name in names)))


@dataclass(frozen=True)
class SceneRecord:
    """Where a scene comes from: a file, its split and the number of the record in it."""

    path: Path
    split: str
    number: int
    data: bytes


def list_records(source: Path) -> list[Path]:
    """The TFRecord files at `source`: itself, or all below it, sorted.

    Raises:  UserError if there is none.
    """
    found = [source] if source.is_file() else sorted(source.rglob("*.tfrecord*")) if source.is_dir() else []
    if not found:
        raise UserError(
            f"{source} holds no .tfrecord file; download a folder such as gs://kubric-public/tfds/movi_f/512x512/1.0.0 "
            "(hundreds of GB; 128x128 is tens of GB)"
        )
    return found


def split_of(path: Path) -> str:
    """The split in a TFDS file name: movi_f-train.tfrecord-00000-of-01024 -> train."""
    match = re.search(r"-(\w+)\.tfrecord", path.name)
    return match.group(1) if match else "train"


def read_scenes(source: Path, first: int = 0, scenes: int | None = None) -> Iterator[SceneRecord]:
    """Records `first`, first + 1, ... over all files at `source`, at most `scenes` of them.

    Raises:  UserError as `list_records` and `read_records`, or if there is no record `first`.
    """
    seen = 0
    for path in list_records(source):
        for number, data in enumerate(read_records(path)):
            if scenes is not None and seen >= first + scenes:
                return
            if seen >= first:
                yield SceneRecord(path, split_of(path), number, data)
            seen += 1
    if seen <= first:
        raise UserError(f"{source} holds {counted(seen, 'video')}; there is none of number {first}, counted from 0")


def scene_folder(record: SceneRecord, out: Path) -> Path:
    """Where a record's scene is written: `<out>/<split>_<video name>`.

    Raises:  UserError for a record whose video has no name, or one that would lead out of `out`.
    """
    name = single(parse_example(record.data, {"metadata/video_name"}), "metadata/video_name")
    place = f"{record.path}, record {record.number}"
    try:
        text = bytes(name).decode()
    except (TypeError, ValueError) as error:
        raise UserError(f"{place}: the video's name is {name!r}; expected text") from error
    return out / f"{record.split}_{checked_name(text, place)}"


def plan_record(record: SceneRecord, out: Path) -> Plan | None:
    """What a record becomes; None if an earlier run completed this scene from the same record.

    Raises:  UserError naming the file and record for a missing feature, a damaged image or a wrong count.
    """
    options = {"file": record.path.name, "record": record.number}
    try:
        folder = scene_folder(record, out)
        # The manifest is written last, so a scene that has one is complete.
        if (folder / MANIFEST).is_file() and Manifest.load(folder / MANIFEST).options == options:
            return None
        contents = scene_files(parse_example(record.data, FEATURES))
    except UserError as error:
        raise UserError(f"{record.path}, record {record.number}: {error}") from error
    return Plan(folder, MANIFEST, Manifest("kubric", folder.name, (), options), contents)


def scene_files(example: Mapping[str, Values]) -> dict[str, bytes]:
    """File name -> content of the worker's folder for one video."""
    frames = int(single(example, "metadata/num_frames"))
    span = _numbers(example, "metadata/depth_range", (2,))
    images = {name: _images(example, name, frames) for name in ("video", "segmentations", "depth")}
    contents: dict[str, bytes] = {}
    for i in range(frames):
        contents[f"rgba_{i:05d}.png"] = images["video"][i]
        contents[f"segmentation_{i:05d}.png"] = images["segmentations"][i]
        contents[f"depth_{i:05d}.tiff"] = distance_tiff(images["depth"][i], float(span[0]), float(span[1]))
    contents["metadata.json"] = json.dumps(_metadata(example, frames, span)).encode()
    return contents


def distance_tiff(png: bytes, low_m: float, high_m: float) -> bytes:
    """A float32 TIFF in metres from a 16-bit PNG over [low_m, high_m].

    Raises:  UserError if the PNG is damaged or has 8 bits.
    """
    try:
        with Image.open(io.BytesIO(png)) as image:
            if image.mode not in ("I;16", "I"):
                raise UserError(f"depth has pixels of mode {image.mode}, expected 16-bit grey")
            stored = np.asarray(image).astype(np.float64)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise UserError(f"a depth image is damaged ({error}); download the file again") from error
    stream = io.BytesIO()
    metres = low_m + stored / 65535 * (high_m - low_m)
    Image.fromarray(metres.astype(np.float32)).save(stream, "TIFF", compression="tiff_adobe_deflate")
    return stream.getvalue()


def _metadata(example: Mapping[str, Values], frames: int, span: NDArray[np.float32]) -> dict[str, Any]:
    camera: dict[str, Any] = {n: float(single(example, f"camera/{n}")) for n in _CAMERA[:3] if f"camera/{n}" in example}
    camera["positions"] = _numbers(example, "camera/positions", (frames, 3)).tolist()
    camera["quaternions"] = _numbers(example, "camera/quaternions", (frames, 4)).tolist()
    resolution = [int(single(example, f"metadata/{side}")) for side in ("width", "height")]
    instances = _instances(example, frames)
    about = {"num_frames": frames, "num_instances": len(instances), "resolution": resolution}
    return {"metadata": about | {"depth_range": span.tolist()}, "camera": camera, "instances": instances}


def _instances(example: Mapping[str, Values], frames: int) -> list[dict[str, Any]]:
    """The poses of every instance, in the order of the segmentation's labels from 1 on."""
    count = int(single(example, "metadata/num_instances"))
    if count == 0:
        return []
    positions = _numbers(example, "instances/positions", (count, frames, 3)).tolist()
    quaternions = _numbers(example, "instances/quaternions", (count, frames, 4)).tolist()
    dynamic = np.asarray(example.get("instances/is_dynamic", np.zeros(count)), bool).tolist()
    poses = zip(positions, quaternions, dynamic, strict=True)
    return [{"positions": p, "quaternions": q, "is_dynamic": moves} for p, q, moves in poses]


def _images(example: Mapping[str, Values], name: str, frames: int) -> list[bytes]:
    values = example.get(name)
    if not isinstance(values, list) or len(values) != frames:
        raise UserError(f"{name!r} has {0 if values is None else len(values)} images, expected {frames}")
    return values


def _numbers(example: Mapping[str, Values], name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    values, expected = example.get(name), math.prod(shape)
    if values is None or len(values) != expected:
        raise UserError(f"{name!r} has {0 if values is None else len(values)} numbers, expected {expected}")
    numbers = np.asarray(values, np.float32)
    if not np.isfinite(numbers).all():
        raise UserError(f"{name!r} holds numbers that are not finite; expected the truth of a scene")
    return numbers.reshape(shape)
