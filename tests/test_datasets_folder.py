"""Own recordings in plain folders: depth in millimetres."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from writers import folder
from writers.compare import assert_same_geometry, assert_same_images
from writers.scene import FRAMES, outdoors

from page4d.data.datasets import Folder
from page4d.schema import UserError

NUMBERS = range(10, 10 + FRAMES)


@pytest.mark.parametrize("rows", [False, True])
def test_folder_gives_back_what_was_written(tmp_path: Path, rows: bool) -> None:
    clip = outdoors(anisotropy=0.1, centre_offset=(0.03, -0.02))
    folder.write(tmp_path, {"kitchen": clip}, rows)
    dataset = Folder(tmp_path)
    assert dataset.frame_numbers("kitchen") == list(NUMBERS)
    loaded = dataset.load("kitchen", NUMBERS)
    assert_same_geometry(loaded, clip, depth_error=5.01e-4)
    assert_same_images(loaded, clip)
    assert torch.equal(loaded.moving, clip.moving)


def test_folder_frames_need_a_pose_and_intrinsics_a_fitting_count(tmp_path: Path) -> None:
    folder.write(tmp_path, {"kitchen": outdoors()}, rows=True)
    poses, cameras = tmp_path / "kitchen/poses.txt", tmp_path / "kitchen/intrinsics.txt"
    lines = poses.read_text().splitlines()
    poses.write_text("\n".join(lines[:3] + lines[4:]))
    dataset = Folder(tmp_path)
    assert dataset.frame_numbers("kitchen") == [10, 11, 13, 14, 15, 16, 17]
    torch.testing.assert_close(dataset.load("kitchen", [13]).cam_from_world[0], outdoors().cam_from_world[3])
    cameras.write_text("\n".join(cameras.read_text().splitlines()[:3]))
    with pytest.raises(UserError, match="has 3 rows; expected 1, or one for each of the 8 images"):
        dataset.load("kitchen", [13])
    poses.write_text("\n".join([*lines[:2], "11 0 0 0 0 0 0"]))
    with pytest.raises(UserError, match=r"poses\.txt, line 3: 7 numbers, expected 8"):
        Folder(tmp_path)


@pytest.mark.parametrize("kind", ["pgm", "npy"])
def test_folder_takes_other_kinds_of_depth(tmp_path: Path, kind: str) -> None:
    clip = outdoors()
    folder.write(tmp_path, {"kitchen": clip})
    for path in (tmp_path / "kitchen/depth").iterdir():
        values = np.array(Image.open(path)).astype(np.uint16)
        if kind == "npy":
            np.save(path.with_suffix(".npy"), values / 1000)
        else:
            header = f"P5\n# by a camera\n{values.shape[1]} {values.shape[0]}\n{max(256, values.max())}\n"
            path.with_suffix(".pgm").write_bytes(header.encode() + values.astype(">u2").tobytes())
        path.unlink()
    assert_same_geometry(Folder(tmp_path).load("kitchen", NUMBERS), clip, depth_error=5.01e-4)
    path = tmp_path / f"kitchen/depth/image_012.{kind}"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(UserError, match=rf"image_012\.{kind} cannot be read"):
        Folder(tmp_path).load("kitchen", [12])
    path.write_bytes(b"P5 4 4 255 0123456789abcdef" if kind == "pgm" else b"")
    with pytest.raises(UserError, match=rf"image_012\.{kind} (is no binary PGM of 16 bits|cannot be read)"):
        Folder(tmp_path).load("kitchen", [12])
    path.unlink()
    with pytest.raises(UserError, match=r"image_012\.png is missing, and so are \.pgm and \.npy"):
        Folder(tmp_path).load("kitchen", [12])


def test_folder_two_images_of_one_number(tmp_path: Path) -> None:
    folder.write(tmp_path, {"kitchen": outdoors()})
    images = tmp_path / "kitchen/images"
    (images / "copy_12.png").write_bytes((images / "image_012.png").read_bytes())
    with pytest.raises(UserError, match="have the same number"):
        Folder(tmp_path)
