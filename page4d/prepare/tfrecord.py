"""TFRecord files of tf.train.Example, read without TensorFlow.

A record is an unsigned 64-bit length, its masked CRC-32C, the data, and the data's masked CRC-32C. The length's
checksum is verified, which finds a file that is no TFRecord or lost its step; the data's is not: in Python that takes
seconds for a record, and the images inside carry checksums of their own.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from page4d.schema import MALFORMED, UserError

Values = list[bytes] | np.ndarray[Any, Any]
_BYTES, _FLOATS, _INTEGERS = 1, 2, 3


def _crc_table() -> list[int]:
    table = []
    for value in range(256):
        for _ in range(8):
            value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


_TABLE = _crc_table()


def masked_crc(data: bytes) -> int:
    """The checksum of a TFRecord: CRC-32C (Castagnoli), rotated by 15 bits and shifted by a constant."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _TABLE[(crc ^ byte) & 0xFF]
    crc ^= 0xFFFFFFFF
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF


def read_records(path: Path) -> Iterator[bytes]:
    """The records of a file in order.

    Raises:  UserError if the file is missing, is no TFRecord or ends within a record, with the record's number.
    """
    if not path.is_file():
        raise UserError(f"{path} is missing; give a .tfrecord file or a folder of them")
    left = path.stat().st_size
    with path.open("rb") as stream:
        number = 0
        while header := stream.read(12):
            if len(header) < 12:
                raise UserError(f"{path} ends within the header of record {number}; download it again")
            length, crc = struct.unpack("<QI", header)
            if masked_crc(header[:8]) != crc:
                raise UserError(
                    f"{path}, record {number}: wrong checksum of the length; the file is no TFRecord or damaged"
                )
            left -= len(header) + length + 4
            if left < 0:  # before a length that the file only claims is read into memory
                raise UserError(f"{path} ends within record {number}; download it again")
            yield stream.read(length + 4)[:-4]
            number += 1


def parse_example(data: bytes, wanted: Collection[str]) -> dict[str, Values]:
    """The wanted features of a serialized tf.train.Example; the others are skipped, not decoded.

    Note:    byte strings come as a list, floats as float32 and integers as int64 arrays, flat; absent names are left
             out.
    Raises:  UserError if the data is no Example.
    """
    found: dict[str, Values] = {}
    try:
        for features in _messages(data, 1):
            for entry in _messages(features, 1):
                parts = dict(_fields(entry))
                name = bytes(parts[1]).decode()
                if name in wanted:
                    found[name] = _feature(parts.get(2, memoryview(b"")))
    except (*MALFORMED, struct.error) as error:
        raise UserError(f"a record is no tf.train.Example ({error}); the file is damaged or of another kind") from error
    return found


def _feature(data: memoryview) -> Values:
    for kind, values in _fields(data):
        if kind == _BYTES:
            return [bytes(value) for value in _messages(values, 1)]
        if kind == _FLOATS:
            return np.frombuffer(b"".join(_packed(values, 4)), "<f4")
        if kind == _INTEGERS:
            numbers = itertools.chain.from_iterable(map(_varints, _packed(values, 0)))
            return np.fromiter(numbers, np.uint64).astype(np.int64)
    return []


def _packed(data: memoryview, width: int) -> Iterator[memoryview]:
    """The value bytes of a repeated number, written packed or one by one."""
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        if tag & 7 == 2:
            size, position = _varint(data, position)
        else:
            size = width or _varint(data, position)[1] - position
        yield _take(data, position, size)
        position += size


def _messages(data: bytes | memoryview, number: int) -> Iterator[memoryview]:
    return (value for found, value in _fields(data) if found == number)


def _fields(data: bytes | memoryview) -> Iterator[tuple[int, memoryview]]:
    """(number, bytes) of the length-delimited fields of a message; fields of other types are passed over."""
    view, position = memoryview(data), 0
    while position < len(view):
        tag, position = _varint(view, position)
        kind = tag & 7
        if kind == 2:
            size, position = _varint(view, position)
            yield tag >> 3, _take(view, position, size)
        elif kind == 0:
            size = _varint(view, position)[1] - position
        elif kind in (1, 5):
            size = 8 if kind == 1 else 4
        else:
            raise ValueError(f"wire type {kind}")
        position += size


def _take(data: memoryview, start: int, size: int) -> memoryview:
    if start + size > len(data):
        raise ValueError(f"a field of {size} bytes where {len(data) - start} are left")
    return data[start : start + size]


def _varint(data: memoryview, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value & 0xFFFFFFFFFFFFFFFF, position
        shift += 7
        if shift > 63:
            raise ValueError("a number longer than 64 bits")


def _varints(data: memoryview) -> Iterator[int]:
    position = 0
    while position < len(data):
        value, position = _varint(data, position)
        yield value


def single(example: Mapping[str, Values], name: str) -> Any:
    """The single value of a feature.

    Raises:  UserError if the feature is absent or has several values.
    """
    values = example.get(name)
    if values is None or len(values) != 1:
        raise UserError(f"a record has {'no' if values is None else len(values)} {name!r}, expected one value")
    return values[0]
