"""Stored arrays: what a header only claims takes no memory, and nothing is unpickled."""

from __future__ import annotations

import io
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from page4d.io.arrays import read_npy, read_npz
from page4d.npz import check_npz
from page4d.schema import Prediction, UserError


def npy(shape: str, data: bytes = b"") -> bytes:
    """An .npy file of float64 with this shape in its header, whatever data follow."""
    header = f"{{'descr': '<f8', 'fortran_order': False, 'shape': {shape}, }}"
    text = header + " " * (63 - (len(header) + 10) % 64) + "\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text.encode() + data


def archive(path: Path, content: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as stored:
        stored.writestr("depth.npy", content)
    return path


def test_arrays_come_back(tmp_path: Path) -> None:
    first, second = np.arange(6.0).reshape(2, 3), np.zeros((400, 400), np.uint8)
    np.save(tmp_path / "a.npy", first)
    np.savez_compressed(tmp_path / "b.npz", first=first, second=second, scalar=np.array("text"))
    np.testing.assert_array_equal(read_npy(tmp_path / "a.npy"), first)
    for found, expected in zip(read_npz(tmp_path / "b.npz", "second", "first"), (second, first), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert len(read_npz(tmp_path / "b.npz")) == 3


TERABYTES = "(1000000, 1000000)"


@pytest.mark.parametrize(
    "write",
    [
        lambda p: p.write_bytes(npy(TERABYTES)),
        lambda p: p.write_bytes(npy("(3,)", bytes(16))),
        lambda p: p.write_bytes(npy("(-1,)", bytes(16))),
        lambda p: p.write_bytes(b"\x93NUMPY"),
        lambda p: p.write_bytes(b""),
        lambda p: p.mkdir(),
        lambda p: None,
        lambda p: np.save(p, np.array([{}], object)),
    ],
    ids=["terabytes", "short", "negative", "cut", "empty", "folder", "missing", "objects"],
)
def test_an_npy_that_is_none(tmp_path: Path, write: Callable[[Path], None]) -> None:
    path = tmp_path / "a.npy"
    write(path)
    with pytest.raises(UserError, match=r"a\.npy"):
        read_npy(path)


def test_an_npz_that_claims_more_than_it_holds(tmp_path: Path) -> None:
    path = archive(tmp_path / "a.npz", npy(TERABYTES, bytes(28_000)))
    with pytest.raises(ValueError, match=r"depth\.npy claims 8,000,000,000,000 bytes"):
        check_npz(path)
    with pytest.raises(UserError, match="claims"):
        read_npz(path)
    with pytest.raises(UserError, match="claims"):
        Prediction.load(path)


def test_an_archive_whose_directory_lies(tmp_path: Path) -> None:
    """The size of the unpacked member, too, is only what the archive says."""
    path = archive(tmp_path / "a.npz", npy("(100,)", bytes(800)))
    data = bytearray(path.read_bytes())
    entry = data.rindex(b"PK\x01\x02")
    data[entry + 24 : entry + 28] = struct.pack("<I", 4_000_000_000)
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"claims|whole npz"):
        read_npz(path)


def test_an_array_that_is_missing_is_named(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", here=np.zeros(1))
    with pytest.raises(UserError, match=r"holds \['here'\], but not there"):
        read_npz(tmp_path / "a.npz", "here", "there")
    with pytest.raises(UserError, match="whole npz"):
        read_npz(tmp_path / "b.npz") if (tmp_path / "b.npz").write_bytes(b"PK") else None
    stream = io.BytesIO()
    np.save(stream, np.array([{}], object))
    with pytest.raises(UserError, match=r"Object arrays|pickle"):
        read_npz(archive(tmp_path / "c.npz", stream.getvalue()))
