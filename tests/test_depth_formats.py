"""Depth, camera and flow files: exact there and back, and a clear word for every kind of damage."""

import struct
from pathlib import Path

import numpy as np
import pytest

from page4d.io.depth_formats import (
    SINTEL_TAG,
    read_cam,
    read_depth_npy,
    read_dpt,
    read_flo,
    write_cam,
    write_dpt,
    write_flo,
)
from page4d.schema import UserError

GOLDEN = Path(__file__).parent / "golden"
DEPTH = np.random.default_rng(0).uniform(0.5, 12, (5, 7)).astype(np.float32)


def test_dpt_is_exact_and_has_the_documented_bytes(tmp_path):
    write_dpt(tmp_path / "a.dpt", DEPTH)
    data = (tmp_path / "a.dpt").read_bytes()
    assert struct.unpack("<fii", data[:12]) == (SINTEL_TAG, 7, 5)  # width before height
    assert struct.unpack("<f", data[12 + 4 * 8 : 12 + 4 * 9])[0] == DEPTH[1, 1]
    np.testing.assert_array_equal(read_dpt(tmp_path / "a.dpt"), DEPTH)


def test_flo_is_exact_and_interleaves_u_and_v(tmp_path):
    flow = np.random.default_rng(0).normal(size=(5, 7, 2)).astype(np.float32)
    write_flo(tmp_path / "a.flo", flow)
    data = (tmp_path / "a.flo").read_bytes()
    assert struct.unpack("<ff", data[12:20]) == (flow[0, 0, 0], flow[0, 0, 1])
    np.testing.assert_array_equal(read_flo(tmp_path / "a.flo"), flow)


def test_cam_has_the_released_bytes(tmp_path):
    inputs = np.load(GOLDEN / "pose_eval_inputs.npz")
    (tmp_path / "a.cam").write_bytes(inputs["sintel_cam_file_bytes_frame0001"].tobytes())
    K, pose = read_cam(tmp_path / "a.cam")
    np.testing.assert_array_equal(K, [[1120, 0, 511.5], [0, 1120, 217.5], [0, 0, 1]])
    np.testing.assert_array_equal(pose, inputs["sintel_w2c"][0])
    write_cam(tmp_path / "b.cam", K, pose)
    assert (tmp_path / "b.cam").read_bytes() == (tmp_path / "a.cam").read_bytes()


@pytest.mark.parametrize("shape", [(5, 7), (5, 7, 1)])
def test_npy_takes_channel_zero(shape, tmp_path):
    np.save(tmp_path / "a.npy", DEPTH.reshape(shape))
    np.testing.assert_array_equal(read_depth_npy(tmp_path / "a.npy"), DEPTH)


def damaged(folder: Path) -> dict[str, tuple[object, str]]:
    """Name to reader and what its error must say."""
    write_dpt(folder / "good.dpt", DEPTH)
    whole = (folder / "good.dpt").read_bytes()
    files = {
        "cut.dpt": whole[:-3],
        "long.dpt": whole + b"\0",
        "tag.dpt": b"\0\0\0\0" + whole[4:],
        "tiny.dpt": b"\0\0",
        "huge.dpt": struct.pack("<fii", SINTEL_TAG, -1, 5) + whole[12:],
        "short.cam": struct.pack("<f", SINTEL_TAG) + b"\0" * 100,
        "cut.npy": b"\x93NUMPY\x01\x00",
    }
    for name, data in files.items():
        (folder / name).write_bytes(data)
    np.save(folder / "flat.npy", np.zeros(4))
    np.save(folder / "points.npy", np.zeros((5, 7, 3)))
    np.save(folder / "text.npy", np.array([["a"]]))
    return {
        "cut.dpt": (read_dpt, "has 149 bytes, expected 152 for 7 x 5"),
        "long.dpt": (read_dpt, "has 153 bytes, expected 152"),
        "tag.dpt": (read_dpt, "expected the tag 202021.25"),
        "tiny.dpt": (read_dpt, "truncated: 2 bytes"),
        "huge.dpt": (read_dpt, "claims -1 x 5 pixels"),
        "missing.dpt": (read_dpt, "cannot read"),
        "short.cam": (read_cam, "has 104 bytes, expected 172"),
        "good.dpt": (read_flo, "expected 292 for 7 x 5"),
        "cut.npy": (read_depth_npy, "not a whole .npy file"),
        "flat.npy": (read_depth_npy, r"holds \(4,\)"),
        "points.npy": (read_depth_npy, r"holds \(5, 7, 3\); expected one depth for each pixel"),
        "text.npy": (read_depth_npy, "expected numbers"),
        "missing.npy": (read_depth_npy, "does not exist"),
    }


def test_every_kind_of_damage_is_named(tmp_path):
    for name, (reader, message) in damaged(tmp_path).items():
        with pytest.raises(UserError, match=message) as caught:
            reader(tmp_path / name)
        assert name in str(caught.value)
