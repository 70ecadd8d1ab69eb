"""Own recordings in plain folders: depth in millimetres."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from writers import folder
from writers.compare import assert_same_geometry, assert_same_images
from writers.scene import FRAMES, outdoors

from page4d.data.datasets import ClipSelection, DepthRule, Folder
from page4d.schema import Notice, UserError

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
    with pytest.raises(UserError, match=rf"image_012\.{kind} (cannot be read|is not a whole)"):
        Folder(tmp_path).load("kitchen", [12])
    path.write_bytes(b"P5 4 4 255 0123456789abcdef" if kind == "pgm" else b"")
    with pytest.raises(UserError, match=rf"image_012\.{kind} (is no binary PGM of 16 bits|is not a whole)"):
        Folder(tmp_path).load("kitchen", [12])
    path.unlink()
    with pytest.raises(UserError, match=r"image_012\.png has no depth map of its name"):
        Folder(tmp_path).load("kitchen", [12])


def test_what_a_recording_lacks_is_told_when_it_is_opened(tmp_path: Path) -> None:
    folder.write(tmp_path, {"kitchen": outdoors(), "other": outdoors()})
    table = tmp_path / "kitchen/poses.txt"
    table.write_text("\n".join(table.read_text().splitlines()[:-2]))
    with pytest.warns(Notice, match=r"2 of 8 pictures have no row in .*poses\.txt and are left out"):
        Folder(tmp_path)
    gone = tmp_path / "other/images/image_014.png"
    gone.rename(tmp_path / "gone.png")
    with pytest.warns(Notice, match=r"1 of 8 rows of .*other/poses\.txt have no picture and are left out"):
        Folder(tmp_path)
    (tmp_path / "gone.png").rename(gone)
    (tmp_path / "other/depth/image_012.png").unlink()
    with pytest.raises(UserError, match=r"other/images/image_012\.png has no depth map of its name"):
        Folder(tmp_path)
    with pytest.warns(Notice):
        assert Folder(tmp_path, ClipSelection(sequences=("kitchen",))).sequences == ["kitchen"]
    with pytest.warns(Notice):
        assert len(Folder(tmp_path, ClipSelection(depth=DepthRule(load=False))).frame_numbers("other")) == 8


def rename(folder: Path, kind: str, name: Callable[[int], str]) -> None:
    """Give the n-th file of a folder another name, its suffix included."""
    for count, path in enumerate(sorted((folder / kind).iterdir())):
        path.rename(folder / kind / name(count))


def test_suffixes_count_in_any_case(tmp_path: Path) -> None:
    clip = outdoors()
    folder.write(tmp_path, {"kitchen": clip})
    for kind in ("images", "depth", "moving"):
        rename(tmp_path / "kitchen", kind, lambda n: f"IMG_{n + 10}.PNG")
    loaded = Folder(tmp_path).load("kitchen", NUMBERS)
    assert_same_geometry(loaded, clip, depth_error=5.01e-4)
    assert_same_images(loaded, clip)
    assert torch.equal(loaded.moving, clip.moving)


def test_names_that_are_times_find_depth_and_pose_by_time(tmp_path: Path) -> None:
    """Depth 8 ms later, poses 5 ms earlier and at twice the rate; frames are numbered in the order of time."""
    clip = outdoors()
    folder.write(tmp_path, {"kitchen": clip})
    place = tmp_path / "kitchen"
    rename(place, "images", lambda n: f"{99.9 + 0.1 * n:.3f}.png")
    rename(place, "depth", lambda n: f"{99.908 + 0.1 * n:.3f}.png")
    rename(place, "moving", lambda n: f"{99.9 + 0.1 * n:.3f}.png")
    rows = [line.split()[1:] for line in (place / "poses.txt").read_text().splitlines() if line[0] != "#"]
    lines = []
    for n, row in enumerate(rows):
        lines += [f"{99.895 + 0.1 * n:.3f} {' '.join(row)}", f"{99.945 + 0.1 * n:.3f} 9 9 9 0 0 0 1"]
    (place / "poses.txt").write_text("\n".join(lines))
    dataset = Folder(tmp_path)
    assert dataset.frame_numbers("kitchen") == list(range(FRAMES))
    loaded = dataset.load("kitchen", range(FRAMES))
    assert_same_geometry(loaded, clip, depth_error=5.01e-4)
    assert torch.equal(loaded.moving, clip.moving)
    (place / "depth" / "100.008.png").rename(place / "depth" / "100.031.png")
    with pytest.raises(UserError, match=r"100\.000\.png has no depth map"):
        Folder(tmp_path).load("kitchen", [1])


def test_what_is_masked_or_transparent_has_no_depth(tmp_path: Path) -> None:
    clip = outdoors()
    folder.write(tmp_path, {"kitchen": clip})
    place = tmp_path / "kitchen"
    first, second = sorted((place / "images").iterdir())[:2]
    counts = np.full(clip.depth.shape[1:], 255, np.uint8)
    counts[:, :5] = 0
    (place / "masks").mkdir()
    Image.fromarray(counts).save(place / "masks" / first.name)
    layers = Image.open(second).convert("RGBA")
    alpha = np.full(clip.depth.shape[1:], 255, np.uint8)
    alpha[:7] = 0
    layers.putalpha(Image.fromarray(alpha))
    layers.save(second)
    loaded = Folder(tmp_path).load("kitchen", [10, 11])
    assert not loaded.depth[0, :, :5].any()
    torch.testing.assert_close(loaded.depth[0, :, 5:], clip.depth[0, :, 5:], atol=5.01e-4, rtol=0)
    assert not loaded.depth[1, :7].any()
    assert (loaded.images[1, :, :7] == 1).all()  # white, as wherever the network is shown transparent pictures
    torch.testing.assert_close(loaded.images[1, :, 7:], clip.images[1, :, 7:], atol=0.5 / 255 + 1e-6, rtol=0)
    Image.fromarray(counts[:-1]).save(place / "masks" / first.name)
    with pytest.raises(UserError, match=r"the mask is .* make them one size"):
        Folder(tmp_path).load("kitchen", [10])


@pytest.mark.parametrize("row", ["0 500 1 1", "500 -1 1 1", "nan 500 1 1", "500 500 inf 1"])
def test_intrinsics_that_no_camera_has(tmp_path: Path, row: str) -> None:
    folder.write(tmp_path, {"kitchen": outdoors()})
    (tmp_path / "kitchen" / "intrinsics.txt").write_text(row)
    with pytest.raises(UserError, match="expected positive focal lengths"):
        Folder(tmp_path).load("kitchen", [10])


def test_folder_two_images_of_one_number(tmp_path: Path) -> None:
    folder.write(tmp_path, {"kitchen": outdoors()})
    images = tmp_path / "kitchen/images"
    (images / "copy_12.png").write_bytes((images / "image_012.png").read_bytes())
    with pytest.raises(UserError, match="have the same number"):
        Folder(tmp_path)
