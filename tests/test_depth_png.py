"""16-bit depth PNGs and PLY files, read back by others."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import trimesh
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from page4d.io.depth_png import depth_png_scale, read_depth_png, write_depth_png
from page4d.io.point_files import write_ply
from page4d.schema import UserError


@given(largest=st.floats(1e-3, 1e6))
def test_scale_uses_the_range_and_never_leaves_it(largest: float) -> None:
    scale = depth_png_scale(np.array([[0.0, largest, np.inf, np.nan]], np.float32))
    assert round(np.float32(largest) * scale) <= 65535 < 10.1 * np.float32(largest) * scale
    assert np.log10(scale) == pytest.approx(round(np.log10(scale)))


def test_round_trip_and_opencv_agree(tmp_path: Path) -> None:
    depth = np.array([[0.0, 1.0, 2.345], [np.nan, -1.0, 6.5]], np.float32)
    scale = depth_png_scale(depth)
    write_depth_png(tmp_path / "d.png", depth, scale)
    expected = np.array([[0.0, 1.0, 2.345], [0.0, 0.0, 6.5]], np.float32)
    np.testing.assert_allclose(read_depth_png(tmp_path / "d.png"), expected, atol=0.5 / scale)
    values = cv2.imread(str(tmp_path / "d.png"), cv2.IMREAD_UNCHANGED)
    assert values.dtype == np.uint16
    np.testing.assert_array_equal(values, np.rint(expected * scale))
    np.testing.assert_allclose(read_depth_png(tmp_path / "d.png", scale=10), values / 10)


def test_nothing_to_scale() -> None:
    assert depth_png_scale(np.zeros((2, 2), np.float32)) == 1000


def test_bad_depth_files(tmp_path: Path) -> None:
    Image.new("RGB", (4, 4)).save(tmp_path / "rgb.png")
    Image.fromarray(np.ones((4, 4), np.uint16)).save(tmp_path / "bare.png")
    (tmp_path / "text.png").write_text("nothing")
    for call, message in (
        (lambda: read_depth_png(tmp_path / "rgb.png"), "mode RGB, expected 16-bit grey"),
        (lambda: read_depth_png(tmp_path / "bare.png"), "does not say its depth scale"),
        (lambda: read_depth_png(tmp_path / "text.png"), "cannot be read as a PNG"),
        (lambda: read_depth_png(tmp_path / "missing.png"), "does not exist"),
        (lambda: write_depth_png(tmp_path / "x.png", np.full((2, 2), 70.0, np.float32), 1000), "exceeds 65535"),
        (lambda: write_depth_png(tmp_path / "x.png", np.zeros((1, 2, 2), np.float32), 1), "expected"),
    ):
        with pytest.raises(UserError, match=message):
            call()
    assert not (tmp_path / "x.png").exists()


def test_ply_is_read_back_with_colours(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    xyz, rgb = rng.normal(size=(50, 3)).astype(np.float32), rng.integers(0, 255, (50, 3), np.uint8)
    write_ply(tmp_path / "p.ply", xyz, rgb)
    cloud = trimesh.load(tmp_path / "p.ply")
    np.testing.assert_allclose(cloud.vertices, xyz)
    np.testing.assert_array_equal(np.asarray(cloud.colors)[:, :3], rgb)


def test_ply_has_the_bytes_that_trimesh_writes(tmp_path: Path) -> None:
    """But for the comment: whoever reads files of one reads those of the other."""
    rng = np.random.default_rng(0)
    xyz, rgb = rng.normal(size=(7, 3)).astype(np.float32), rng.integers(0, 255, (7, 3), np.uint8)
    # A view with strides of its own is what exports hand over.
    write_ply(tmp_path / "p.ply", xyz[::2, ::-1], rgb[::2, ::-1])
    theirs = trimesh.PointCloud(xyz[::2, ::-1], colors=rgb[::2, ::-1]).export(file_type="ply")
    comment = b"comment https://github.com/mikedh/trimesh"
    assert (tmp_path / "p.ply").read_bytes() == theirs.replace(comment, b"comment page4d")


def test_ply_refuses_what_it_cannot_write(tmp_path: Path) -> None:
    xyz, rgb = np.zeros((4, 3), np.float32), np.zeros((4, 3), np.uint8)
    bad = xyz.copy()
    bad[2, 1] = np.nan
    for points, colours, message in (
        (xyz, rgb[:3], "expected equal"),
        (xyz[:0], rgb[:0], "expected equal"),
        (bad, rgb, "1 of 4 points are not finite"),
    ):
        with pytest.raises(UserError, match=message):
            write_ply(tmp_path / "p.ply", points, colours)
    assert list(tmp_path.iterdir()) == []
