"""MOVi TFRecords as TFDS writes them: tf.train.Example in Google's wire format, encoded here by hand."""

from __future__ import annotations

import io
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from page4d.schema import Clip
from writers import kubric
from writers.scene import images_u8

POLYNOMIAL = 0x1EDC6F41  # Castagnoli, most significant bit first


def write(path: Path, clips: Mapping[str, Clip], objects: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Write videos as one TFRecord file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"".join(record(example(name, clip, objects[name])) for name, clip in clips.items()))


def record(data: bytes) -> bytes:
    """Length, its checksum, data, its checksum."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked(length)) + data + struct.pack("<I", 0)


def masked(data: bytes) -> int:
    """CRC-32C computed bit by bit from its definition, rotated right by 15 and offset."""
    register = 0xFFFFFFFF
    for byte in data:
        register ^= int(f"{byte:08b}"[::-1], 2) << 24
        for _ in range(8):
            register = (register << 1 ^ (POLYNOMIAL if register >> 31 else 0)) & 0xFFFFFFFF
    crc = int(f"{register ^ 0xFFFFFFFF:032b}"[::-1], 2)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) % 2**32


def example(name: str, clip: Clip, objects: Sequence[Mapping[str, Any]]) -> bytes:
    """The features of one video; flow is there to be skipped."""
    distance = kubric.distance(clip)
    low, high = float(distance.min()), float(distance.max())
    stored = np.rint((distance - low) / (high - low) * 65535).astype(np.uint16)
    camera, (frames, height, width) = kubric.camera(clip), clip.depth.shape
    segmentation = clip.instances.numpy().astype(np.uint8)
    features = {
        "metadata/video_name": [name.encode()],
        "metadata/num_frames": np.array([frames]),
        "metadata/num_instances": np.array([len(objects)]),
        "metadata/height": np.array([height]),
        "metadata/width": np.array([width]),
        "metadata/depth_range": np.array([low, high], np.float32),
        "camera/field_of_view": np.array([camera["field_of_view"]], np.float32),
        "camera/focal_length": np.array([camera["focal_length"]], np.float32),
        "camera/sensor_width": np.array([camera["sensor_width"]], np.float32),
        "camera/positions": np.array(camera["positions"], np.float32),
        "camera/quaternions": np.array(camera["quaternions"], np.float32),
        "instances/positions": np.array([o["positions"] for o in objects], np.float32),
        "instances/quaternions": np.array([o["quaternions"] for o in objects], np.float32),
        "instances/is_dynamic": np.array([1] * len(objects)),
        "video": [png(image) for image in images_u8(clip)],
        "segmentations": [png(image) for image in segmentation],
        "depth": [png(image) for image in stored],
        "forward_flow": np.full(1000, 40000),
        "background": [b"a_field"],
    }
    entries = b"".join(field(1, field(1, key.encode()) + field(2, feature(value))) for key, value in features.items())
    return field(1, entries)


def feature(values: list[bytes] | np.ndarray) -> bytes:
    """bytes_list, float_list (packed) or int64_list (packed)."""
    if isinstance(values, list):
        return field(1, b"".join(field(1, value) for value in values))
    if values.dtype == np.float32:
        return field(2, field(1, values.astype("<f4").tobytes()))
    return field(3, field(1, b"".join(varint(int(value)) for value in values.ravel())))


def field(number: int, data: bytes) -> bytes:
    return varint(number << 3 | 2) + varint(len(data)) + data


def varint(value: int) -> bytes:
    out = bytearray()
    while True:
        value, low = value >> 7, value & 0x7F
        out.append(low | (0x80 if value else 0))
        if not value:
            return bytes(out)


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()
