"""Damaged files of every kind that `io` reads: a right result or a UserError, in seconds and little memory.

Each kind begins as a whole file; bytes are changed, cut, doubled, and numbers of headers made huge. The quick run tries
a few of each kind, the slow one thousands.
"""

from __future__ import annotations

import io
import json
import resource
import struct
import time
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from little_scene import little_prediction
from PIL import Image
from safetensors.torch import save_file
from test_video import write_video

from page4d.cli.prediction_input import parse_intrinsics
from page4d.io import trajectories
from page4d.io.depth_formats import read_cam, read_depth_npy, read_dpt, read_flo, write_cam, write_dpt, write_flo
from page4d.io.depth_png import read_depth_png, write_depth_png
from page4d.io.frames import FrameOptions, load_frames
from page4d.io.images import left_out_by, load_images
from page4d.io.names import read_times
from page4d.io.pictures import header_of, open_rgb
from page4d.io.video import read_video
from page4d.model.stored_weights import read_weights
from page4d.schema import Prediction, Scores, UserError

LONGEST_S = 10
MOST_KB = 700_000
SMALL = FrameOptions(size=32, patch=8)


def picture(kind: str, mode: str = "RGB", **options: Any) -> bytes:
    values = np.random.default_rng(0).integers(0, 255, (24, 40, 4), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(values).convert(mode).save(stream, kind, **options)
    return stream.getvalue()


def pages() -> bytes:
    stream = io.BytesIO()
    frames = [Image.new("RGB", (24, 24), (i, 0, 0)) for i in range(3)]
    frames[0].save(stream, "TIFF", save_all=True, append_images=frames[1:], compression="tiff_lzw")
    return stream.getvalue()


def written(write: Callable[..., None], *values: Any) -> Callable[[Path], bytes]:
    def make(folder: Path) -> bytes:
        write(folder / "seed", *values)
        return (folder / "seed").read_bytes()

    return make


def npy(folder: Path) -> bytes:
    np.save(folder / "seed.npy", np.arange(12.0).reshape(3, 4))
    return (folder / "seed.npy").read_bytes()


def prediction(folder: Path) -> bytes:
    little_prediction(frames=2).save(folder / "seed.npz")
    return (folder / "seed.npz").read_bytes()


def weights(suffix: str) -> Callable[[Path], bytes]:
    """A state dict of a few tensors: nothing of a damaged one may be built."""

    def make(folder: Path) -> bytes:
        state = {f"aggregator.norm{i}.weight": torch.rand(4, 3) for i in range(3)}
        if suffix == ".safetensors":
            save_file(state, folder / "seed.safetensors", {"page4d_config": '{"img_size": 518}'})
        else:
            torch.save({"model": state}, folder / "seed.pt", _use_new_zipfile_serialization=suffix == ".pt")
            return (folder / "seed.pt").read_bytes()
        return (folder / "seed.safetensors").read_bytes()

    return make


def film(suffix: str) -> Callable[[Path], bytes]:
    return lambda folder: write_video(folder / f"seed{suffix}", 6).read_bytes()


def every_way(path: Path) -> None:
    """A picture by each of its readers."""
    failed = None
    for read in (header_of, open_rgb, lambda p: load_images(p, size=32, patch=8), left_out_by):
        try:
            read(path)
        except UserError as error:
            failed = error
    if failed is not None:
        raise failed


DEPTH = np.linspace(0.5, 9, 12, dtype=np.float32).reshape(3, 4)
CAMERA = {"orientation": np.eye(3).tolist(), "position": [0, 0, 0], "focal_length": 50.0, "principal_point": [10, 10]}
SCORES = {
    "format": 1, "benchmark": "b", "version": 1, "task": "depth", "protocol": {}, "mean": {"x": 1.0}, "better": {},
    "units": {}, "origin": {}, "n": 1, "of": 1, "sequences": [{"name": "s", "values": {}, "weight": 1.0,
    "item_names": [], "items": {}, "notes": {}, "error": None}],
}  # fmt: skip
KINDS: dict[str, tuple[str, bytes | Callable[[Path], bytes], Callable[[Path], Any]]] = {
    "png": (".png", picture("PNG"), every_way),
    "png_alpha": (".png", picture("PNG", "RGBA"), every_way),
    "png_palette": (".png", picture("PNG", "P", transparency=3), every_way),
    "jpeg": (".jpg", picture("JPEG"), every_way),
    "jpeg_progressive": (".jpg", picture("JPEG", "L", progressive=True), every_way),
    "webp": (".webp", picture("WEBP"), every_way),
    "gif": (".gif", picture("GIF"), every_way),
    "tiff": (".tif", picture("TIFF"), every_way),
    "tiff_deflate": (".tif", picture("TIFF", compression="tiff_adobe_deflate"), every_way),
    "tiff_pages": (".tif", pages(), every_way),
    "bmp": (".bmp", picture("BMP"), every_way),
    "ppm": (".ppm", picture("PPM"), every_way),
    "tga": (".tga", picture("TGA"), every_way),
    "jp2": (".jp2", picture("JPEG2000"), every_way),
    "avif": (".avif", picture("AVIF"), every_way),
    "qoi": (".qoi", picture("QOI"), every_way),
    "depth_png": (".png", written(write_depth_png, DEPTH, 1000.0), read_depth_png),
    "depth_npy": (".npy", npy, read_depth_npy),
    "dpt": (".dpt", written(write_dpt, DEPTH), read_dpt),
    "flo": (".flo", written(write_flo, np.stack((DEPTH, DEPTH), -1)), read_flo),
    "cam": (".cam", written(write_cam, np.eye(3), np.eye(4)), read_cam),
    "tum": (".txt", b"# t\n1.5 0 0 0 0 0 0 1\n2.5 1 0 0 0 0 0 1\n", trajectories.read_tum),
    "matrices": (".txt", b"1 0 0 0 0 1 0 0 0 0 1 0\n" * 2, trajectories.read_matrices),
    "trajectory": (".txt", b"1 0 0 0 0 1 0 0 0 0 1 0\n" * 2, trajectories.read_trajectory),
    "dycheck": (".json", json.dumps(CAMERA).encode(), trajectories.read_dycheck_camera),
    "times": (".txt", b"1.5 a.png\n2.5 b.png\n", lambda path: read_times(path, ["a.png", "b.png"])),
    "intrinsics": (".json", b'{"K": [[50, 0, 10], [0, 50, 10], [0, 0, 1]]}', lambda path: parse_intrinsics(str(path))),
    "prediction": (".npz", prediction, Prediction.load),
    "scores": (".json", json.dumps(SCORES).encode(), Scores.load),
    "weights": (".pt", weights(".pt"), read_weights),
    "weights_before_zip": (".pt", weights(".old.pt"), read_weights),
    "weights_safe": (".safetensors", weights(".safetensors"), read_weights),
    "mp4": (".mp4", film(".mp4"), lambda path: list(read_video(path))),
    "avi": (".avi", film(".avi"), lambda path: load_frames(path, SMALL)),
    "mkv": (".mkv", film(".mkv"), lambda path: load_frames(path, FrameOptions(size=32, patch=8, spread=2))),
}

HUGE = [
    struct.pack(order + kind, value)
    for order in "<>"
    for kind, value in (("I", 0xFFFFFFFF), ("I", 0x7FFFFFF0), ("H", 0xFFFF))
]
CHANGES = st.lists(
    st.tuples(
        st.floats(0, 1), st.sampled_from(["flip", "cut", "huge", "double", "random", "drop"]), st.integers(0, 255)
    ),
    min_size=1,
    max_size=4,
)


def damaged(data: bytes, changes: list[tuple[float, str, int]]) -> bytes:
    for place, how, value in changes:
        at = int(place * max(len(data) - 1, 0))
        if how == "flip":
            data = data[:at] + bytes([data[at] ^ (value or 1)]) + data[at + 1 :] if data else data
        elif how == "cut":
            data = data[:at]
        elif how == "huge":
            number = HUGE[value % len(HUGE)]
            data = data[:at] + number + data[at + len(number) :]
        elif how == "double":
            data = data[:at] + data[at : at + value] * 3 + data[at + value :]
        elif how == "drop":
            data = data[:at] + data[at + value :]
        else:
            noise = np.random.default_rng(value).integers(0, 255, 16, np.uint8).tobytes()
            data = data[:at] + noise + data[at + 16 :]
    return data


@cache
def seed_of(kind: str, folder: Path) -> bytes:
    seed = KINDS[kind][1]
    return seed if isinstance(seed, bytes) else seed(folder)


def read_damaged(kind: str, changes: list[tuple[float, str, int]], folder: Path) -> None:
    suffix, _, read = KINDS[kind]
    path = folder / f"damaged{suffix}"
    path.write_bytes(damaged(seed_of(kind, folder), changes))
    began, before_kb = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    said = path.name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            read(path)
        except UserError as error:
            said = str(error)
    assert path.name in said or "image" in said, said
    assert time.monotonic() - began < LONGEST_S
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before_kb < MOST_KB


QUIET = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]


@pytest.mark.parametrize("kind", KINDS)
def test_whole_files_are_read(kind: str, tmp_path: Path) -> None:
    suffix, _, read = KINDS[kind]
    (tmp_path / f"whole{suffix}").write_bytes(seed_of(kind, tmp_path))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read(tmp_path / f"whole{suffix}")


@pytest.mark.parametrize("kind", KINDS)
def test_damage(kind: str, tmp_path: Path) -> None:
    @settings(max_examples=12, deadline=None, derandomize=True, suppress_health_check=QUIET, database=None)
    @given(CHANGES)
    def run(changes: list[tuple[float, str, int]]) -> None:
        read_damaged(kind, changes, tmp_path)

    run()


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_much_damage(kind: str, tmp_path: Path) -> None:
    @settings(max_examples=1500, deadline=None, suppress_health_check=QUIET, database=None)
    @given(CHANGES)
    def run(changes: list[tuple[float, str, int]]) -> None:
        read_damaged(kind, changes, tmp_path)

    run()
