"""CO3D, Waymo and RLBench: what the writers put into the official layouts comes back."""

from __future__ import annotations

import json
import pickle
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from PIL import Image
from torch.nn import functional as F
from writers import bonn, co3d, rlbench, waymo
from writers.compare import assert_same_geometry, assert_same_images
from writers.scene import FRAMES, outdoors, room

from page4d.data.datasets import CO3D, ClipSelection, DepthRule, RLBench, Waymo
from page4d.data.datasets import rlbench as rlbench_loader
from page4d.data.datasets.calibration import Calibration
from page4d.data.datasets.co3d import CO3DOptions
from page4d.data.datasets.pytorch3d_camera import opencv_camera
from page4d.data.datasets.rlbench import RLBenchOptions
from page4d.data.datasets.waymo import WaymoOptions, splat_lidar
from page4d.data.datasets.waymo_boxes import draw_boxes
from page4d.geometry import invert, project, resize_intrinsics, transform, world_points
from page4d.schema import Clip, UserError

FRAME_LIST = range(FRAMES)
SKEWED = {"anisotropy": 0.1, "centre_offset": (0.03, -0.02)}
EPISODE = "open_drawer/variation0/episodes/episode0"
VIEW = "open_drawer/variation0/episode0/front"


# --- CO3D: half floats; a mask says which depth is reliable ---


@pytest.mark.parametrize("kind", ["ndc_isotropic", "ndc_norm_image_bounds"])
def test_co3d_gives_back_what_was_written(tmp_path: Path, kind: str) -> None:
    clip = outdoors(**SKEWED)
    co3d.write(tmp_path, {"apple/110_13051_23361": clip}, kind)
    loaded = CO3D(tmp_path, ClipSelection("all", min_frames=1)).load("apple/110_13051_23361", range(1, 9))
    # Depth is stored over the scale and rounded to a half float: 2^-11 of it. Masked pixels are holes.
    assert_same_geometry(loaded, clip, relative=2**-11 * 1.001)
    assert (loaded.images - clip.images).abs().mean() < 0.01  # JPEG at quality 100
    assert not loaded.moving.any()
    assert not loaded.metric


def test_a_pytorch3d_camera_worked_out_by_hand() -> None:
    # The image's centre, where every CO3D principal point is, lies between pixels 319 and 320 of 640.
    viewpoint = {"R": np.eye(3).tolist(), "T": [1, 2, 3], "focal_length": [2, 2], "principal_point": [0, 0]}
    pose, K = opencv_camera(viewpoint | {"intrinsics_format": "ndc_isotropic"}, (480, 640))
    np.testing.assert_array_equal(K, [[480, 0, 319.5], [0, 480, 239.5], [0, 0, 1]])
    np.testing.assert_array_equal(pose, [[-1, 0, 0, -1], [0, -1, 0, -2], [0, 0, 1, 3]])
    moved = viewpoint | {"intrinsics_format": "ndc_norm_image_bounds", "principal_point": [0.5, -0.5]}
    np.testing.assert_array_equal(opencv_camera(moved, (480, 640))[1], [[640, 0, 159.5], [0, 480, 359.5], [0, 0, 1]])


def test_co3d_splits_are_those_of_the_set_list(tmp_path: Path) -> None:
    co3d.write(tmp_path, {"apple/1": room(), "car/2": room(4)})
    assert CO3D(tmp_path, ClipSelection("train", min_frames=1)).frame_numbers("apple/1") == [1, 2, 3, 4, 5, 6]
    test = CO3D(tmp_path, ClipSelection("test", min_frames=1))
    assert test.frame_numbers("car/2") == [7, 8]
    assert CO3D(tmp_path, ClipSelection("all", min_frames=1), CO3DOptions(categories=("car",))).sequences == ["car/2"]
    with pytest.raises(UserError, match="no sequence with at least 24 frames"):
        CO3D(tmp_path, ClipSelection("train"))
    with pytest.raises(UserError, match=r"set_lists_manyview\.json is missing"):
        CO3D(tmp_path, ClipSelection("train"), CO3DOptions(subset="manyview"))


def test_co3d_reads_the_annotations_published_with_vggt(tmp_path: Path) -> None:
    clip, root = room(), tmp_path / "images" / "co3d"  # a root that itself contains /images
    co3d.write(root, {"apple/1": clip})
    co3d.write_vggt_annotations(tmp_path / "anno", {"apple/1": clip})
    dataset = CO3D(root, ClipSelection("train", min_frames=1), CO3DOptions(annotations=str(tmp_path / "anno")))
    loaded = dataset.load("apple/1", range(1, 9))
    torch.testing.assert_close(loaded.cam_from_world, clip.cam_from_world, atol=1e-6, rtol=0)
    torch.testing.assert_close(loaded.K, clip.K)
    # These files carry no scale, so depth is off by it: the reason to prefer the official annotations.
    torch.testing.assert_close(loaded.depth * co3d.SCALE, clip.depth, rtol=2**-10, atol=0)
    with pytest.raises(UserError, match=r"has no <category>_test\.jgz"):
        CO3D(root, ClipSelection("test"), CO3DOptions(annotations=str(tmp_path / "anno")))


def test_co3d_bad_files(tmp_path: Path) -> None:
    co3d.write(tmp_path, {"apple/1": room()})
    folder = tmp_path / "apple/1"
    (folder / "depth_masks/frame000001.png").unlink()
    Image.new("L", (10, 10)).save(folder / "depth_masks/frame000002.png")
    Image.new("L", (64, 48)).save(folder / "depths/frame000003.jpg.geometric.png")
    dataset = CO3D(tmp_path, ClipSelection("all", min_frames=1))
    for number, message in ((1, r"frame000001\.png is missing"), (2, "different sizes"), (3, "16-bit")):
        with pytest.raises(UserError, match=message):
            dataset.load("apple/1", [number])


# --- Waymo: sparse depth at whole pixels ---


def three(clip: Clip) -> Clip:
    parts = ("images", "depth", "cam_from_world", "K", "frame_numbers", "moving", "instances")
    return replace(clip, **{name: getattr(clip, name)[:3] for name in parts}, flow=None)


def test_waymo_gives_back_what_was_written(tmp_path: Path) -> None:
    clip = three(outdoors(**SKEWED))
    waymo.write(tmp_path, {"segment-1": clip})
    dataset = Waymo(tmp_path, ClipSelection(min_frames=1))
    loaded = dataset.load("segment-1", range(3))
    assert (loaded.images - clip.images).abs().mean() < 0.01  # JPEG at quality 100
    torch.testing.assert_close(loaded.K, clip.K, atol=1e-5, rtol=0)
    # Lasers see part of the pixels; what they see has the pixel's depth, to float32 precision of the range.
    assert 0.1 < loaded.valid.float().mean() < 0.9
    expected = np.stack([waymo.seen_by_lasers(clip, i) for i in range(3)])
    assert torch.equal(loaded.valid, torch.from_numpy(expected))
    torch.testing.assert_close(loaded.depth[loaded.valid], clip.depth[loaded.valid], atol=1e-5, rtol=1e-6)
    # Both lasers contribute, the one with a pose for each pixel and the one without.
    shift = torch.from_numpy(waymo.world_shift(clip)).float()
    points = world_points(loaded.depth, loaded.K, loaded.cam_from_world) - shift
    truth = world_points(clip.depth, clip.K, clip.cam_from_world)
    assert float((points - truth)[loaded.valid].norm(dim=-1).max()) < 1e-3
    np.testing.assert_allclose(dataset.world_origin("segment-1"), waymo.FAR_AWAY - waymo.world_shift(clip), atol=1e-6)


def test_waymo_both_lasers_hit_what_the_picture_shows(tmp_path: Path) -> None:
    clip = three(room())
    for kept in (1, 2):
        root = tmp_path / str(kept)
        waymo.write(root, {"s": clip})
        path = root / "training/lidar/s.parquet"
        pq.write_table(pq.read_table(path, filters=[("key.laser_name", "=", kept)]), path)
        loaded = Waymo(root, ClipSelection(min_frames=1)).load("s", [0, 2])
        assert loaded.valid.float().mean() > 0.02
        truth = clip.depth[[0, 2]]
        torch.testing.assert_close(loaded.depth[loaded.valid], truth[loaded.valid], atol=1e-5, rtol=1e-6)


def test_waymo_image_and_depth_are_undistorted_alike(tmp_path: Path) -> None:
    wide = room(height=120, width=160, frames=3, focal=0.6, anisotropy=0.0)
    bend = (0.05, -0.1, 0.001, -0.0008, 0.02)
    K = wide.K[0].double().numpy()
    seen = bonn.through_the_lens(wide, K, np.array(bend))
    waymo.write(tmp_path, {"s": replace(wide, images=seen.images)}, bend)
    loaded = Waymo(tmp_path, ClipSelection(min_frames=1)).load("s", [0, 1, 2])
    calibration = Calibration(160, 120, K[0, 0], K[1, 1], K[0, 2], K[1, 2], bend)
    torch.testing.assert_close(loaded.K[0], torch.from_numpy(calibration.undistorted_matrix()).float())
    # Where the undistorted image's pixels are in the clip, a pinhole too: an affine map of pixels.
    grid = torch.stack(torch.meshgrid(torch.arange(160.0), torch.arange(120.0), indexing="xy"), -1)
    k = loaded.K[0]
    pixel = (grid - k[:2, 2]) / k[[0, 1], [0, 1]] * wide.K[0, [0, 1], [0, 1]] + wide.K[0, :2, 2]
    where = (pixel / torch.tensor([79.5, 59.5]) - 1).expand(3, -1, -1, -1)
    colour = F.grid_sample(wide.images, where, align_corners=True)
    inner = (slice(None), slice(None), slice(4, -4), slice(4, -4))
    assert (colour - loaded.images)[inner].abs().mean() < 0.03
    # Depth may sit a pixel off (rounded twice): it lies between the clip's depths around the place.
    pad = F.pad(wide.depth[:, None], (2, 2, 2, 2), mode="replicate")
    high, low = F.max_pool2d(pad, 5, 1), -F.max_pool2d(-pad, 5, 1)
    upper = F.grid_sample(high, where, mode="nearest", align_corners=True)[:, 0]
    lower = F.grid_sample(low, where, mode="nearest", align_corners=True)[:, 0]
    inside = (loaded.depth >= lower - 1e-3) & (loaded.depth <= upper + 1e-3)
    assert loaded.valid.float().mean() > 0.05
    assert inside[loaded.valid].float().mean() > 0.999


def test_waymo_nearest_point_wins_at_a_pixel() -> None:
    lens = Calibration(4, 3, 2.0, 2.0, 1.5, 1.0)
    cloud = np.array([[0, 0, 9.0, 2, 1], [0, 0, 4.0, 2, 1], [0, 0, 7.0, 2, 1], [0, 0, -1.0, 0, 0], [0, 0, 5.0, 4, 0]])
    depth = splat_lidar(cloud, np.eye(4), lens)
    expected = np.zeros((3, 4), np.float32)
    expected[1, 2] = 4.0
    np.testing.assert_array_equal(depth, expected)


def test_waymo_moving_mask_is_where_boxes_change_their_place(tmp_path: Path) -> None:
    clip, size, i = room(), np.array([0.5, 0.3, 0.4]), 3
    K, pose = clip.K[i].double(), clip.cam_from_world[i].double()
    left, right = (
        transform(invert(pose), torch.tensor([x, 0.0, 2.0], dtype=torch.float64)).numpy() for x in (-0.5, 0.5)
    )
    steps = np.arange(len(clip))[:, None] - i
    once = np.full((len(clip), 3), np.nan)
    once[i] = transform(invert(pose), torch.tensor([0.0, 0.0, -2.0], dtype=torch.float64))  # behind the camera
    walking = left + steps * np.array([0.0, 0.0, 0.1])  # 1 m/s
    parked, sign = right + 0 * steps, right + steps * np.array([0.0, 0.3, 0.0])
    waymo.write(tmp_path, {"a": clip})
    assert Waymo(tmp_path).load("a", [i]).moving is None
    boxes = {
        "walking": (walking, size, 2),
        "parked": (parked, size, 1),
        "sign": (sign, size, 3),
        "once": (once, size, 1),
    }
    waymo.write_boxes(tmp_path, "a", clip, boxes)
    moving = Waymo(tmp_path).load("a", [i]).moving[0]
    # A hundredth smaller: which side of a pixel the very edge is rounded to is nobody's business.
    inner = 0.99 * size
    swept = [waymo.box_points(clip, i, left + np.array([0, 0, z]), inner) for z in np.linspace(-0.05, 0.05, 5)]
    pixels, _ = project(transform(pose, torch.from_numpy(np.concatenate(swept))), K)
    expected = torch.zeros_like(moving)
    x, y = pixels.round().long().T
    inside = (x >= 0) & (x < 64) & (y >= 0) & (y < 48)
    expected[y[inside], x[inside]] = True
    assert (expected & ~moving).sum() == 0
    assert 50 < expected.sum() <= moving.sum() < 1.25 * expected.sum()


def test_waymo_box_that_reaches_behind_the_camera_covers_what_is_in_front() -> None:
    corners = np.array(list(product((-0.2, 0.2), (0.5, 0.7), (-1.0, 4.0))))
    K = np.array([[50.0, 0, 31.5], [0, 50, 23.5], [0, 0, 1]])
    mask = draw_boxes([corners], np.eye(4), K, (48, 64))
    assert mask[-1, 31]
    assert not mask[:24].any()
    assert not draw_boxes([corners - [0, 0, 9]], np.eye(4), K, (48, 64)).any()


def test_waymo_missing_components(tmp_path: Path) -> None:
    clip = three(room())
    waymo.write(tmp_path, {"s": clip})
    training = tmp_path / "training"
    (training / "lidar_pose/s.parquet").unlink()
    with pytest.raises(UserError, match="download the component 'lidar_pose'"):
        Waymo(tmp_path, ClipSelection(min_frames=1)).load("s", [0])
    assert not Waymo(tmp_path, ClipSelection(min_frames=1, depth=DepthRule(load=False))).load("s", [0]).valid.any()
    with pytest.raises(UserError, match="no sequence with at least 8 frames"):
        Waymo(tmp_path)
    path = training / "camera_calibration/s.parquet"
    path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        Waymo(tmp_path, ClipSelection(min_frames=1, depth=DepthRule(load=False))).load("s", [0])
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(UserError, match="not a Waymo v2 component"):
        Waymo(tmp_path, ClipSelection(min_frames=1, depth=DepthRule(load=False))).load("s", [0])
    with pytest.raises(UserError, match="choose one of 'FRONT'"):
        Waymo(tmp_path, options=WaymoOptions(camera="BACK"))


# --- RLBench: 24 bits between the clipping planes ---


def test_rlbench_demonstration_gives_back_what_was_written(tmp_path: Path) -> None:
    clip = room()
    rlbench.write(tmp_path, {EPISODE: clip})
    dataset = RLBench(tmp_path)
    assert dataset.sequences == [VIEW]
    loaded = dataset.load(VIEW, FRAME_LIST)
    assert_same_geometry(loaded, clip, depth_error=rlbench.FAR / 2**24 + 1e-6)
    assert_same_images(loaded, clip)
    assert torch.equal(loaded.instances, clip.instances.long() + 300)


def test_rlbench_moving_camera_has_a_pose_for_each_frame(tmp_path: Path) -> None:
    rlbench.write(tmp_path, {EPISODE: room()}, camera="wrist")
    loaded = RLBench(tmp_path, options=RLBenchOptions(cameras=("wrist",))).load(VIEW.replace("front", "wrist"), [0, 7])
    torch.testing.assert_close(loaded.cam_from_world, room().cam_from_world[[0, 7]], atol=1e-6, rtol=0)


def test_rlbench_centre_of_the_simulator_is_half_a_pixel_less_here() -> None:
    """A centred camera of 64 x 48 pixels has its centre at 32, 24 there, between the pixels 31 and 32: at 31.5."""
    K = np.array([[-50.0, 0, 32], [0, -50, 24], [0, 0, 1]])
    camera = rlbench_loader.rlbench_camera(np.eye(4), K, 0.1, 1.0)
    np.testing.assert_array_equal(camera.K, [[50, 0, 31.5], [0, 50, 23.5], [0, 0, 1]])


class Harmful:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return eval, ("(_ for _ in ()).throw(SystemExit('the pickle ran a program'))",)


def test_rlbench_pickle_that_runs_a_program_is_refused(tmp_path: Path) -> None:
    rlbench.write(tmp_path, {EPISODE: room()})
    path = tmp_path / EPISODE / "low_dim_obs.pkl"
    path.write_bytes(pickle.dumps([Harmful()]))
    with pytest.raises(UserError, match=r"asks for builtins\.eval.*it was not run"):
        RLBench(tmp_path).load(VIEW, [0])


@pytest.mark.parametrize("damage", [lambda d: d[: len(d) // 2], lambda _: b"", lambda _: pickle.dumps([1])])
def test_rlbench_damaged_pickle(tmp_path: Path, damage) -> None:
    rlbench.write(tmp_path, {EPISODE: room()})
    path = tmp_path / EPISODE / "low_dim_obs.pkl"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match="no whole RLBench demonstration"):
        RLBench(tmp_path).load(VIEW, [0])


def test_rlbench_counts_must_agree(tmp_path: Path) -> None:
    rlbench.write(tmp_path, {EPISODE: room()})
    (tmp_path / EPISODE / "low_dim_obs.pkl").write_bytes(rlbench.pickled([rlbench.misc(room(), 0, "front")]))
    with pytest.raises(UserError, match="has 1 observations; there is none for frame 5"):
        RLBench(tmp_path).load(VIEW, [5])
    (tmp_path / EPISODE / "front_depth/3.png").unlink()
    with pytest.raises(UserError, match=r"front has frames \[3\] with an image or a depth file, but not both"):
        RLBench(tmp_path)


def test_rlbench_exported_clips(tmp_path: Path) -> None:
    def still(clip: Clip) -> Clip:
        return replace(clip, cam_from_world=clip.cam_from_world[:1].expand(len(clip), 3, 4).clone())

    front, above, other = still(room()), still(room(4)), still(room(frames=3))
    rlbench.write_exported(tmp_path, "kitchen", {"clip0": front, "clip1": other}, {"clip0": above})
    (tmp_path / "notes.txt").write_text("a stray file")
    dataset = RLBench(tmp_path)
    assert dataset.sequences == ["kitchen/clip0/front", "kitchen/clip0/overhead", "kitchen/clip1/front"]
    assert_same_geometry(dataset.load("kitchen/clip0/overhead", FRAME_LIST), above, pose_error=1e-6)
    loaded = dataset.load("kitchen/clip0/front", FRAME_LIST)
    torch.testing.assert_close(loaded.depth, front.depth)
    assert loaded.dataset == "rlbench"
    params = tmp_path / "kitchen/camera_params.json"
    params.write_text(json.dumps({"front": json.loads(params.read_text())["front"]}))
    with pytest.raises(UserError, match="no Extrinsic and Intrinsic of 'overhead'"):
        RLBench(tmp_path).load("kitchen/clip0/overhead", [0])


def test_a_calibration_of_resized_pictures_keeps_its_lens() -> None:
    lens = Calibration(640, 480, 500.0, 510.0, 310.0, 250.0, (0.1, -0.2, 0.01, 0.02))
    half = lens.resized(320, 120)
    assert (half.width, half.height, half.distortion) == (320, 120, lens.distortion)
    expected = resize_intrinsics(torch.from_numpy(lens.matrix), 1 / 2, 1 / 4)
    np.testing.assert_allclose(half.matrix, expected, atol=1e-12)
