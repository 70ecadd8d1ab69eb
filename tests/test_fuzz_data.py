"""Every reader of a dataset's files on damaged ones: a right result or UserError, soon and in little memory."""

from __future__ import annotations

import gzip
import io
import json
import pickle
import resource
import struct
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from writers import movi

from page4d.data.association import read_index, read_rows
from page4d.data.datasets.dynamic_replica import read_trajectories
from page4d.data.datasets.formats import (
    read_hdf5,
    read_json,
    read_labels,
    read_mask,
    read_pgm16,
    read_picture,
    read_png16,
    read_table,
    read_tiff,
)
from page4d.data.datasets.rlbench import read_demo
from page4d.data.datasets.tum import read_calibration
from page4d.data.datasets.waymo_tables import read_component
from page4d.data.manifest import FrameRow, Manifest
from page4d.io.arrays import read_npy, read_npz
from page4d.prepare.kubric_tfrecord import plan_record, read_scenes
from page4d.schema import UserError
from page4d.train.checkpoints import Checkpoints

SECONDS, BYTES = 3.0, 1 << 31


def picture(suffix: str, pixels: np.ndarray, **options: Any) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, suffix, **options)
    return stream.getvalue()


def stored(write: Callable[[io.BytesIO], object]) -> bytes:
    stream = io.BytesIO()
    write(stream)
    return stream.getvalue()


def hdf5() -> bytes:
    def write(stream: io.BytesIO) -> None:
        with h5py.File(stream, "w") as file:
            file.create_dataset("disparity", data=COUNTED.astype(np.float32), compression="gzip")

    return stored(write)


def parquet() -> bytes:
    table = pa.table({"range": [[1.0, 2.0], None, [3.0]], "name": ["a", "b", "c"]})
    return stored(lambda stream: pq.write_table(table, stream))


def trajectories() -> bytes:
    truth = {"traj_2d": torch.rand(5, 3), "verts_inds_vis": torch.ones(5)}
    return stored(lambda stream: torch.save(truth, stream))


def manifest() -> bytes:
    frame = FrameRow("rgb/1.png", 1.0, 1.0, "0 0 0 0 0 0 1", "depth/1.png", 1.0)
    text = {"format": 1, "kind": "tum", "sequence": "a", "frames": [vars(frame)], "options": {}, "sha256": {"a": "b"}}
    return json.dumps(text).encode()


def checkpoints() -> bytes:
    file = {"name": "step_1.pt", "bytes": 9, "sha256": "a"}
    entry = {"step": 1, "files": [file], "metric": 0.5, "best": True}
    return json.dumps({"format": 1, "entries": [entry]}).encode()


def read_checkpoints(path: Path) -> Any:
    """The list of a run's checkpoints, where a run has it."""
    folder = path.parent / "checkpoints"
    folder.mkdir(exist_ok=True)
    (folder / path.name).write_bytes(path.read_bytes())
    return Checkpoints(path.parent).manifest()


COUNTED = np.arange(12 * 16).reshape(12, 16)
COLOUR = np.stack([COUNTED, COUNTED + 9, 255 - COUNTED], -1).astype(np.uint8)
ROWS = b"# stamp file\n1.5 rgb/a.png\n2.25 rgb/b.png\n1e1 c\n"
READERS: dict[str, tuple[str, bytes, Callable[[Path], Any]]] = {
    "npy": ("a.npy", stored(lambda s: np.save(s, COUNTED)), read_npy),
    "npz": ("a.npz", stored(lambda s: np.savez_compressed(s, depth=COUNTED, K=np.eye(3))), lambda p: read_npz(p, "K")),
    "picture": ("a.png", picture("png", COLOUR), read_picture),
    "jpeg": ("a.jpg", picture("jpeg", COLOUR), read_picture),
    "palette": ("a.png", stored(lambda s: Image.fromarray(COLOUR).quantize(8).save(s, "png")), read_labels),
    "depth png": ("a.png", picture("png", COUNTED.astype(np.uint16)), read_png16),
    "pgm": ("a.pgm", b"P5\n# a\n16 12\n65535\n" + COUNTED.astype(">u2").tobytes(), read_pgm16),
    "mask": ("a.png", picture("png", COUNTED.astype(np.uint8)), read_mask),
    "tiff": ("a.tiff", picture("tiff", COUNTED.astype(np.float32), compression="tiff_deflate"), read_tiff),
    "hdf5": ("a.dsp5", hdf5(), lambda p: read_hdf5(p, "disparity")),
    "json": ("a.json", b'{"a": [1, 2.5, "x", null], "b": {"c": true}}', read_json),
    "gzipped json": ("a.jgz", gzip.compress(b'[{"a": 1, "b": [2, 3]}]'), read_json),
    "calibration": ("a.json", b'{"width": 4, "height": 3, "fx": 5.0, "fy": 5, "cx": 2, "cy": 1}', read_calibration),
    "table": ("a.txt", b"1 2 3\n4, 5, 6 # b\n-1e3 inf 7\n", lambda p: read_table(p, 3)),
    "rows": ("rgb.txt", ROWS, read_rows),
    "index": ("rgb.txt", ROWS, lambda p: read_index(p, tolerant=True)),
    "manifest": ("m.json", manifest(), Manifest.load),
    "checkpoints": ("manifest.json", checkpoints(), read_checkpoints),
    "parquet": ("a.parquet", parquet(), lambda p: read_component(p, ["range", "name"])),
    "trajectories": ("a.pth", trajectories(), read_trajectories),
    "demonstration": ("low_dim_obs.pkl", pickle.dumps([]), read_demo),
    "tfrecord": (
        "a-train.tfrecord",
        movi.record(movi.field(1, movi.field(1, movi.field(1, b"video") + movi.field(2, movi.field(1, b"x"))))),
        lambda p: [plan_record(record, p.parent / "out") for record in read_scenes(p)],
    ),
}


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """A file with some bytes changed, cut out, doubled or put in; numbers of headers are made huge with some chance."""
    data = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        kind = draw(st.sampled_from(["flip", "cut", "end", "huge", "repeat", "text"]))
        if kind == "flip" and data:
            data[at] ^= draw(st.integers(1, 255))
        elif kind == "cut":
            del data[at : at + draw(st.integers(1, 40))]
        elif kind == "end":
            del data[at:]
        elif kind == "huge":
            data[at : at + 4] = struct.pack(">I", draw(st.sampled_from([0x7FFFFFFF, 0xFFFFFFFF, 0x00010000])))
        elif kind == "repeat":
            data[at:at] = data[at : at + 30] * draw(st.integers(1, 5))
        else:
            data[at:at] = draw(st.sampled_from([b"nan", b"-1", b"1e999", b"[[[[", b"\xff\xfe", b"9" * 30, b"\0" * 9]))
    return bytes(data)


@pytest.fixture(autouse=True)
def _little_memory() -> Iterator[None]:
    """Address space for what is there and a little more: a reader that believes a header fails to get its memory."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + BYTES, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))


def hold(name: str, data: bytes, folder: Path) -> bool:
    """Read damaged bytes; whether that gave a result. Any other end than a result or UserError is an error."""
    file, _, read = READERS[name]
    path = folder / file
    path.write_bytes(data)
    began = time.process_time()
    try:
        read(path)
    except UserError:
        return False
    finally:
        assert time.process_time() - began < SECONDS
    return True


@pytest.mark.parametrize("name", READERS)
def test_whole_files_are_read(name: str, tmp_path: Path) -> None:
    # The little record holds a video without a name, which is complained about.
    assert hold(name, READERS[name][1], tmp_path) == (name != "tfrecord")


def rule(name: str, examples: int, folder: Path, *, repeatable: bool = True) -> None:
    @settings(
        max_examples=examples,
        deadline=None,
        derandomize=repeatable,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(damaged(READERS[name][1]))
    def holds(data: bytes) -> None:
        hold(name, data, folder)

    holds()


@pytest.mark.parametrize("name", READERS)
def test_damaged_files_give_a_result_or_a_complaint(name: str, tmp_path: Path) -> None:
    rule(name, 25, tmp_path)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("name", READERS)
def test_many_damaged_files(name: str, tmp_path: Path) -> None:
    # Other damage on every run: a thousand runs over the same files find nothing new.
    rule(name, 2000, tmp_path, repeatable=False)


@pytest.mark.parametrize("read", [read_tiff, read_labels, read_mask])
def test_a_picture_that_claims_more_than_its_file_can_hold(tmp_path: Path, read: Callable[[Path], Any]) -> None:
    data = picture("tiff", np.zeros((4, 4), np.uint8))
    with Image.open(io.BytesIO(data)) as image:
        offset = image.tag_v2._offset
    entries = bytearray(data)
    for number in range(struct.unpack_from("<H", entries, offset)[0]):
        at = offset + 2 + 12 * number
        if struct.unpack_from("<H", entries, at)[0] in (256, 257):  # width and height
            struct.pack_into("<HII", entries, at + 2, 4, 1, 12_000)
    path = tmp_path / "a.tiff"
    path.write_bytes(entries)
    with pytest.raises(UserError, match="claims 12000 x 12000 px"):
        read(path)


def test_a_json_bomb_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("page4d.data.datasets.formats.MAX_TEXT_BYTES", 1000)
    path = tmp_path / "a.jgz"
    path.write_bytes(gzip.compress(b" " * 2000 + b"[]"))
    with pytest.raises(UserError, match="unpacks to more than 1,000 bytes"):
        read_json(path)


def test_an_hdf5_file_that_claims_terabytes(tmp_path: Path) -> None:
    path = tmp_path / "a.dsp5"
    with h5py.File(path, "w") as file:
        file.create_dataset("disparity", shape=(1 << 20, 1 << 20), dtype="f4", chunks=(64, 64), compression="gzip")
    with pytest.raises(UserError, match="expected at most 134,217,728 numbers"):
        read_hdf5(path, "disparity")
