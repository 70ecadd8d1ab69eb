"""Own recordings in plain folders: depth in millimetres."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
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
    with pytest.raises(UserError, match="has 3 rows; needed 1, or one for each of the 8 images"):
        dataset.load("kitchen", [13])
    poses.write_text("\n".join([*lines[:2], "11 0 0 0 0 0 0"]))
    with pytest.raises(UserError, match=r"poses\.txt, line 3: 7 numbers, needed 8"):
        Folder(tmp_path)


def test_folder_two_images_of_one_number(tmp_path: Path) -> None:
    folder.write(tmp_path, {"kitchen": outdoors()})
    images = tmp_path / "kitchen/images"
    (images / "copy_12.png").write_bytes((images / "image_012.png").read_bytes())
    with pytest.raises(UserError, match="have the same number"):
        Folder(tmp_path)
