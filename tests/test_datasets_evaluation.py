"""Sintel, TUM, Bonn and DyCheck: what the writers put into the official layouts comes back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from writers import bonn, dycheck, sintel, tum
from writers.compare import assert_same_geometry, assert_same_images
from writers.scene import images_u8, outdoors, room

from page4d.data.datasets import TUM, Bonn, ClipSelection, DepthRule, DyCheck, Sintel
from page4d.data.datasets.bonn import CALIBRATION, MARKER_FROM_SENSOR, BonnOptions
from page4d.data.datasets.calibration import Calibration
from page4d.data.datasets.dycheck import DyCheckOptions
from page4d.data.datasets.tum import TUMOptions
from page4d.geometry import project, transform, world_points
from page4d.schema import Clip, UserError

FREIBURG3 = "rgbd_dataset_freiburg3_walking_xyz"
CROWD = "rgbd_bonn_crowd2"


def lens(clip: Clip) -> Calibration:
    K = clip.K[0].double()
    _, height, width = clip.depth.shape
    return Calibration(width, height, float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2]))


# --- Sintel: float32 depth and float64 cameras, so everything is exact ---


@pytest.mark.parametrize("archives", [False, True])
def test_sintel_gives_back_what_was_written(tmp_path: Path, archives: bool) -> None:
    clip = outdoors()
    sintel.write(tmp_path, {"alley_2": clip, "cave_4": room()}, archives)
    loaded = Sintel(tmp_path).load("alley_2", list(range(1, 9)))
    assert_same_geometry(loaded, clip, pose_error=1e-7)
    assert_same_images(loaded, clip)
    assert torch.equal(loaded.flow, clip.flow)
    assert not loaded.valid.all()
    assert loaded.frame_numbers.tolist() == list(range(1, 9))
    assert loaded.dataset == "sintel"


def test_sintel_takes_frames_by_number_in_any_order_and_repeated(tmp_path: Path) -> None:
    clip = room()
    sintel.write(tmp_path, {"alley_2": clip})
    dataset = Sintel(tmp_path, ClipSelection(sequences=("alley_2",)))
    assert dataset.sequences == ["alley_2"]
    assert dataset.num_frames("alley_2") == 8
    loaded = dataset.load("alley_2", [7, 2, 2])
    assert torch.equal(loaded.depth, clip.depth[[6, 1, 1]])
    assert loaded.flow is None
    with pytest.raises(UserError, match=r"frame numbers \[0, 9\] asked; it has 8 frames from 1 to 8"):
        dataset.load("alley_2", [0, 1, 9])


def test_sintel_without_depth_files_only_if_asked(tmp_path: Path) -> None:
    sintel.write(tmp_path, {"alley_2": room()})
    (tmp_path / "training/depth/alley_2/frame_0003.dpt").unlink()
    with pytest.raises(UserError, match=r"cannot read .*frame_0003\.dpt: No such file"):
        Sintel(tmp_path).load("alley_2", [2, 3])
    assert not Sintel(tmp_path, ClipSelection(depth=DepthRule(load=False))).load("alley_2", [2, 3]).valid.any()


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda data: data[:-4], r"frame_0001\.dpt has \d+ bytes, expected \d+ for"),
        (lambda data: b"XXXX" + data[4:], r"frame_0001\.dpt starts with .* expected the tag 202021\.25"),
        (lambda data: data[:7], r"frame_0001\.dpt claims 0 x 0 pixels"),
    ],
    ids=["short", "wrong tag", "no header"],
)
def test_sintel_damaged_depth(tmp_path: Path, damage, message: str) -> None:
    sintel.write(tmp_path, {"alley_2": room()})
    path = tmp_path / "training/depth/alley_2/frame_0001.dpt"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=message):
        Sintel(tmp_path).load("alley_2", [1])


def test_missing_download_names_archive_and_size(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no such folder.*MPI-Sintel-depth-training.*GB"):
        Sintel(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no training/final"):
        Sintel(tmp_path)
    with pytest.raises(UserError, match="no split 'train'"):
        Sintel(tmp_path, ClipSelection("train"))


# --- TUM: depth in steps of 0.2 mm, pose text with seven digits ---


def test_tum_gives_back_what_was_written(tmp_path: Path) -> None:
    clip = room()
    tum.write(tmp_path, {FREIBURG3: clip})
    dataset = TUM(tmp_path, options=TUMOptions(calibration=lens(clip)))
    assert dataset.frame_numbers(FREIBURG3) == list(range(8))
    loaded = dataset.load(FREIBURG3, range(8))
    assert_same_geometry(loaded, clip, depth_error=1.01e-4, pose_error=2e-6)
    assert_same_images(loaded, clip)


def test_tum_uses_the_calibration_of_the_camera_in_the_name(tmp_path: Path) -> None:
    large = Image.new("RGB", (640, 480))
    tum.write(tmp_path, {FREIBURG3: room()})
    for path in (tmp_path / FREIBURG3 / "rgb").iterdir():
        large.save(path)
    for path in (tmp_path / FREIBURG3 / "depth").iterdir():
        Image.fromarray(np.full((480, 640), 5000, np.uint16)).save(path)
    K = TUM(tmp_path).load(FREIBURG3, [0]).K[0]
    assert torch.allclose(K, torch.tensor([[535.4, 0, 320.1], [0, 539.2, 247.6], [0, 0, 1.0]]))


def test_tum_calibration_refuses_another_image_size(tmp_path: Path) -> None:
    tum.write(tmp_path, {FREIBURG3: room()})
    with pytest.raises(UserError, match="the image is 64 x 48, the calibration is for 640 x 480"):
        TUM(tmp_path).load(FREIBURG3, [0])


def test_tum_dropped_depth_drops_its_frame_and_shifts_nothing(tmp_path: Path) -> None:
    clip = room()
    tum.write(tmp_path, {FREIBURG3: clip})
    index = tmp_path / FREIBURG3 / "depth.txt"
    lines = index.read_text().splitlines()
    index.write_text("\n".join(lines[:5] + lines[6:]))
    dataset = TUM(tmp_path, options=TUMOptions(calibration=lens(clip)))
    kept = [0, 1, 3, 4, 5, 6, 7]
    assert dataset.frame_numbers(FREIBURG3) == kept
    torch.testing.assert_close(dataset.load(FREIBURG3, kept).depth, clip.depth[kept], atol=1.01e-4, rtol=0)


def test_tum_public_selection_takes_every_third(tmp_path: Path) -> None:
    tum.write(tmp_path, {FREIBURG3: room()})
    assert TUM(tmp_path, options=TUMOptions(selection="public")).frame_numbers(FREIBURG3) == [0, 3, 6]


def test_tum_eight_bit_depth_is_refused(tmp_path: Path) -> None:
    clip = room()
    tum.write(tmp_path, {FREIBURG3: clip})
    for path in (tmp_path / FREIBURG3 / "depth").iterdir():
        Image.new("L", (64, 48)).save(path)
    with pytest.raises(UserError, match="16-bit"):
        TUM(tmp_path, options=TUMOptions(calibration=lens(clip))).load(FREIBURG3, [0])


def test_tum_truncated_image(tmp_path: Path) -> None:
    clip = room()
    tum.write(tmp_path, {FREIBURG3: clip})
    path = min((tmp_path / FREIBURG3 / "rgb").iterdir())
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(UserError, match=r"\.png cannot be read as colour image"):
        TUM(tmp_path, options=TUMOptions(calibration=lens(clip))).load(FREIBURG3, [0])


# --- Bonn: as TUM, plus a lens and a marker ---


def test_bonn_poses_come_back_rigid(tmp_path: Path) -> None:
    clip = room()
    bonn.write(tmp_path, {CROWD: clip}, distort=False)
    loaded = Bonn(tmp_path, options=BonnOptions(calibration=lens(clip))).load(CROWD, range(8))
    assert_same_geometry(loaded, clip, depth_error=1.01e-4, pose_error=1e-5)
    assert_same_images(loaded, clip)
    rotation = loaded.cam_from_world[:, :, :3]
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3).expand(8, 3, 3), atol=1e-5, rtol=0)


def test_bonn_published_transform_is_a_rotation_times_a_scale() -> None:
    scale = np.linalg.det(bonn.T_M[:3, :3]) ** (1 / 3)
    assert scale == pytest.approx(1.0593, abs=1e-4)
    np.testing.assert_allclose(MARKER_FROM_SENSOR[:3, :3], bonn.T_M[:3, :3] / scale, atol=1e-4)


def test_bonn_undistorts_onto_the_scene(tmp_path: Path) -> None:
    # The clip looks wider than the lens, so that the lens sees scene everywhere.
    clip = room(height=240, width=320, frames=2, focal=0.6, anisotropy=0.0)
    bonn.write(tmp_path, {CROWD: clip})
    K_lens = bonn.lens_matrix(240, 320)
    calibration = Calibration(320, 240, K_lens[0, 0], K_lens[1, 1], K_lens[0, 2], K_lens[1, 2], tuple(bonn.DISTORTION))
    loaded = Bonn(tmp_path, options=BonnOptions(calibration=calibration)).load(CROWD, [0, 1])
    assert loaded.valid.all()
    points = transform(clip.cam_from_world, world_points(loaded.depth, loaded.K, loaded.cam_from_world).flatten(1, 2))
    pixels, z = project(points, clip.K)
    x, y = pixels.round().long().unbind(-1)
    inside = (x >= 0) & (x < 320) & (y >= 0) & (y < 240)
    frame = torch.arange(2)[:, None].expand_as(x)
    error = (clip.depth[frame[inside], y[inside], x[inside]] - z[inside]).abs()
    # Nearest neighbour twice: up to a pixel and a half of slope; only pixels at depth edges are farther off.
    assert inside.float().mean() > 0.99
    assert error.median() < 0.005
    assert (error > 0.1).float().mean() < 0.02
    # Without undistortion the corners would be off by up to 2 pixels; the colour image proves it is done.
    colour = torch.nn.functional.grid_sample(
        clip.images, pixels.unflatten(1, (240, 320)) / torch.tensor([159.5, 119.5]) - 1, align_corners=True
    )
    assert (colour - loaded.images).abs().mean() < 0.02


def test_bonn_official_constants() -> None:
    K = CALIBRATION.undistorted_matrix()
    np.testing.assert_allclose([K[0, 0], K[1, 1], K[0, 2], K[1, 2]], [543.86, 544.76, 315.43, 237.52], atol=0.01)


def test_bonn_pairs_by_time_not_by_rank(tmp_path: Path) -> None:
    clip = room()
    bonn.write(tmp_path, {CROWD: clip}, distort=False)
    min((tmp_path / CROWD / "depth").iterdir()).unlink()
    by_time = Bonn(tmp_path, options=BonnOptions(calibration=lens(clip)))
    assert by_time.frame_numbers(CROWD) == list(range(1, 8))
    loaded = by_time.load(CROWD, range(1, 8))
    torch.testing.assert_close(loaded.depth, clip.depth[1:], atol=1.01e-4, rtol=0)
    by_rank = Bonn(tmp_path, options=BonnOptions(pairing="rows", window=(0, 7), calibration=lens(clip))).load(
        CROWD, range(7)
    )
    # By rank, image k gets the depth of k + 1 and row k of a file with three rows an image.
    torch.testing.assert_close(by_rank.depth, clip.depth[1:], atol=1.01e-4, rtol=0)
    assert (by_rank.cam_from_world[1:, :, 3] - clip.cam_from_world[1:7, :, 3]).norm(dim=-1).min() > 0.03
    with pytest.raises(UserError, match="8 colour images, 7 depth images, 24 poses"):
        Bonn(tmp_path, options=BonnOptions(pairing="rows", window=(0, 8)))
    with pytest.raises(UserError, match="expected 140"):
        Bonn(tmp_path, options=BonnOptions(window=(30, 140)))


# --- DyCheck: float32 depth; 2x is half the size ---


@pytest.mark.parametrize("channel", [False, True])
def test_dycheck_gives_back_what_was_written(tmp_path: Path, channel: bool) -> None:
    clip = outdoors(anisotropy=0.1, centre_offset=(0.03, -0.02))
    dycheck.write(tmp_path, {"apple": clip}, channel)
    dataset = DyCheck(tmp_path)
    assert dataset.num_frames("apple") == 8
    loaded = dataset.load("apple", range(8))
    assert_same_geometry(loaded, clip, pose_error=2e-6)
    assert_same_images(loaded, clip)


def test_dycheck_depth_cut_at_three_metres_is_no_wall_there(tmp_path: Path) -> None:
    clip = outdoors()
    assert (clip.depth > 3).any()
    dycheck.write(tmp_path, {"apple": replace(clip, depth=clip.depth.clamp(max=3.0))})
    loaded = DyCheck(tmp_path).load("apple", range(8))
    assert torch.equal(loaded.valid, clip.valid & (clip.depth < 3))
    assert 0 < loaded.depth.max() < 3


def test_dycheck_half_size_scales_the_intrinsics(tmp_path: Path) -> None:
    clip = room()
    dycheck.write(tmp_path, {"apple": clip})
    loaded = DyCheck(tmp_path, options=DyCheckOptions(resolution="2x")).load("apple", range(8))
    assert loaded.images.shape[-2:] == (24, 32)
    # By hand: the middle of a 64 x 48 image is at (31.5, 23.5) and, halved to 32 x 24, at (15.5, 11.5).
    path = tmp_path / "apple/camera/0_00000.json"
    middle = {"principal_point": [32.0, 24.0], "focal_length": 40.0, "pixel_aspect_ratio": 1.5}
    path.write_text(json.dumps(json.loads(path.read_text()) | middle))
    expected = {"1x": [[40, 0, 31.5], [0, 60, 23.5], [0, 0, 1]], "2x": [[20, 0, 15.5], [0, 30, 11.5], [0, 0, 1]]}
    for resolution, K in expected.items():
        found = DyCheck(tmp_path, options=DyCheckOptions(resolution=resolution)).load("apple", [0]).K[0]
        torch.testing.assert_close(found, torch.tensor(K, dtype=torch.float32))


def test_dycheck_cameras_are_not_shifted_by_a_missing_one(tmp_path: Path) -> None:
    clip = room()
    dycheck.write(tmp_path, {"apple": clip})
    (tmp_path / "apple/camera/0_00003.json").unlink()
    dataset = DyCheck(tmp_path)
    torch.testing.assert_close(dataset.load("apple", [5]).cam_from_world[0], clip.cam_from_world[5])
    with pytest.raises(UserError, match=r"0_00003\.json is missing"):
        dataset.load("apple", [3])


def test_dycheck_bad_cameras(tmp_path: Path) -> None:
    clip = room()
    dycheck.write(tmp_path, {"apple": clip})
    path = tmp_path / "apple/camera/0_00000.json"
    stored = json.loads(path.read_text())
    path.write_text(json.dumps(stored | {"image_size": [72, 48]}))
    with pytest.raises(UserError, match="the camera is for 72 x 48, the image at 1/1 is 64 x 48"):
        DyCheck(tmp_path).load("apple", [0])
    path.write_text(json.dumps({k: v for k, v in stored.items() if k != "position"}))
    with pytest.raises(UserError, match=r"not a DyCheck camera .*position"):
        DyCheck(tmp_path).load("apple", [0])
    path.write_text("{")
    with pytest.raises(UserError, match=r"not a DyCheck camera .*JSON"):
        DyCheck(tmp_path).load("apple", [0])


def test_sizes_that_do_not_belong_together(tmp_path: Path) -> None:
    clip = room()
    dycheck.write(tmp_path, {"apple": clip})
    np.save(tmp_path / "apple/depth/1x/0_00001.npy", np.ones((10, 20), np.float32))
    with pytest.raises(UserError, match="frame 1: a map is 20 x 10, expected 64 x 48"):
        DyCheck(tmp_path).load("apple", [0, 1])
    assert images_u8(clip).shape == (8, 48, 64, 3)
