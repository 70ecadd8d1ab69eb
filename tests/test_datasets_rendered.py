"""PointOdyssey, Dynamic Replica, Kubric and Spring: what the writers put into the official layouts comes back."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from writers import dynamic_replica, kubric, pointodyssey, spring
from writers.compare import assert_same_geometry, assert_same_images
from writers.scene import FRAMES, HEIGHT, WIDTH, outdoors, room, symmetric, tracked

from page4d.data.datasets import ClipSelection, DepthRule, DynamicReplica, Kubric, PointOdyssey, Spring
from page4d.data.datasets.dynamic_replica import DynamicReplicaOptions
from page4d.data.datasets.kubric import kubric_intrinsics
from page4d.data.datasets.spring import SpringOptions
from page4d.geometry import project, transform, world_points
from page4d.schema import UserError
from page4d.world import render_clip

FRAME_LIST = range(FRAMES)
SKEWED = {"anisotropy": 0.1, "centre_offset": (0.03, -0.02)}
RIGID = {"deforming_weight": 0.0, "walker_weight": 0.0, "centre_offset": (-0.5 / WIDTH, -0.5 / HEIGHT)}


def test_the_tracks_of_the_tests_lie_on_the_scene() -> None:
    clip = tracked(**SKEWED).clip
    seen = clip.tracks_visible
    assert seen[0].all()
    assert 0.5 < seen.float().mean() < 1
    # Tracks start on the grid and follow the exact flow of the renderer where both ends are seen.
    start = clip.tracks[0].long()
    moved = clip.tracks[0] + clip.flow[0, start[:, 1], start[:, 0]]
    assert (moved - clip.tracks[1]).abs().max() < 1e-2


# --- PointOdyssey: depth in steps of 1000 / 65535 m ---


def test_pointodyssey_gives_back_what_was_written(tmp_path: Path) -> None:
    clip = tracked(**SKEWED).clip
    pointodyssey.write(tmp_path, {"ani": clip})
    loaded = PointOdyssey(tmp_path).load("ani", FRAME_LIST)
    assert_same_geometry(loaded, clip, depth_error=500 / 65535 * 1.001)
    assert (loaded.images - clip.images).abs().mean() < 0.01  # JPEG at quality 100
    assert torch.equal(loaded.tracks, clip.tracks)
    assert torch.equal(loaded.tracks_visible, clip.tracks_visible)
    pairs = torch.stack((loaded.instances, clip.instances.long())).flatten(1).unique(dim=1)
    assert pairs.shape[1] == len(clip.instances.unique()) == len(loaded.instances.unique())  # another name for each


def test_pointodyssey_saturated_depth_is_no_point_at_a_kilometre(tmp_path: Path) -> None:
    clip = outdoors(**SKEWED)
    pointodyssey.write(tmp_path, {"ani": clip})
    loaded = PointOdyssey(tmp_path).load("ani", [2])
    assert torch.equal(loaded.valid[0], clip.valid[2])
    assert loaded.depth.max() < 999
    assert loaded.tracks_visible.any() == torch.tensor(False)
    assert loaded.tracks.isfinite().all()


def test_pointodyssey_has_no_camera_for_frames_beyond_the_annotation(tmp_path: Path) -> None:
    clip = room()
    pointodyssey.write(tmp_path, {"ani": clip})
    folder = tmp_path / "train/ani"
    for kind, suffix in (("rgbs/rgb", "jpg"), ("depths/depth", "png")):
        (folder / f"{kind}_00008.{suffix}").write_bytes((folder / f"{kind}_00007.{suffix}").read_bytes())
    dataset = PointOdyssey(tmp_path)
    assert dataset.num_frames("ani") == 9
    with pytest.raises(UserError, match="has 8 cameras; there is none for frame 8"):
        dataset.load("ani", [8])


def test_pointodyssey_split_chooses_the_folder(tmp_path: Path) -> None:
    pointodyssey.write(tmp_path, {"a": room()}, "train")
    pointodyssey.write(tmp_path, {"b": room(4)}, "val")
    assert PointOdyssey(tmp_path, ClipSelection("val")).sequences == ["b"]
    assert PointOdyssey(tmp_path / "train", ClipSelection("train")).sequences == ["a"]
    with pytest.raises(UserError, match="another split's folder"):
        PointOdyssey(tmp_path / "train", ClipSelection("val"))
    with pytest.raises(UserError, match=r"no usable sequence c .*GB"):
        PointOdyssey(tmp_path, ClipSelection(sequences=("c",)))
    with pytest.raises(UserError, match="no sequence with at least 9 frames"):
        PointOdyssey(tmp_path, ClipSelection(min_frames=9))


def test_pointodyssey_bad_files(tmp_path: Path) -> None:
    pointodyssey.write(tmp_path, {"ani": room()})
    folder = tmp_path / "train/ani"
    Image.new("L", (WIDTH, HEIGHT)).save(folder / "depths/depth_00000.png")
    (folder / "depths/depth_00001.png").unlink()
    image = folder / "rgbs/rgb_00002.jpg"
    image.write_bytes(image.read_bytes()[:400])
    dataset = PointOdyssey(tmp_path)
    for number, message in ((0, "16-bit"), (1, r"depth_00001\.png is missing"), (2, r"rgb_00002\.jpg cannot be read")):
        with pytest.raises(UserError, match=message):
            dataset.load("ani", [number])


def test_pointodyssey_damaged_annotation(tmp_path: Path) -> None:
    pointodyssey.write(tmp_path, {"ani": room()})
    path = tmp_path / "train/ani/anno.npz"
    path.write_bytes(path.read_bytes()[:300])
    with pytest.raises(UserError, match=r"anno\.npz is not a whole npz archive"):
        PointOdyssey(tmp_path).load("ani", [0])


# --- Dynamic Replica: half floats, 11 bits of precision ---


@pytest.mark.parametrize("kind", ["ndc_isotropic", "ndc_norm_image_bounds"])
def test_dynamic_replica_gives_back_what_was_written(tmp_path: Path, kind: str) -> None:
    clip = tracked(**SKEWED).clip
    dynamic_replica.write(tmp_path, {"009850-3_obj": clip}, kind=kind)
    loaded = DynamicReplica(tmp_path).load("009850-3_obj_source_left", FRAME_LIST)
    assert_same_geometry(loaded, clip, relative=2**-11)
    assert_same_images(loaded, clip)
    assert torch.equal(loaded.tracks, clip.tracks)
    assert torch.equal(loaded.tracks_visible, clip.tracks_visible)
    assert torch.equal(loaded.moving, clip.moving)
    assert 0 < loaded.moving.float().mean() < 1


def test_dynamic_replica_without_its_masks_has_no_moving_mask(tmp_path: Path) -> None:
    dynamic_replica.write(tmp_path, {"a_obj": outdoors()})
    masks = tmp_path / "train/a_obj_source_left/masks"
    next(masks.iterdir()).unlink()
    assert DynamicReplica(tmp_path).load("a_obj_source_left", FRAME_LIST).moving is None


def test_dynamic_replica_holes_stay_holes(tmp_path: Path) -> None:
    clip = outdoors(**SKEWED)
    dynamic_replica.write(tmp_path, {"a_obj": clip})
    path = tmp_path / "train/a_obj_source_left/depths/a_obj_source_left_0000.geometric.png"
    bits = np.array(Image.open(path))
    bits[0, :3] = np.array([np.nan, np.inf, -1], np.float16).view(np.uint16)
    Image.fromarray(bits).save(path)
    loaded = DynamicReplica(tmp_path).load("a_obj_source_left", FRAME_LIST)
    expected = clip.valid.clone()
    expected[0, 0, :3] = False
    assert not expected.all()
    assert torch.equal(loaded.valid, expected)
    assert (loaded.depth[~expected] == 0).all()


def test_dynamic_replica_finds_annotations_by_split_not_by_path(tmp_path: Path) -> None:
    root = tmp_path / "my train data"  # the public code would choose the training annotation by this name
    dynamic_replica.write(root, {"a_obj": room()}, split="valid")
    dynamic_replica.write(root, {"real_000": room(4)}, split="test", camera="right")
    assert DynamicReplica(root, ClipSelection("valid")).sequences == ["a_obj_source_left"]
    assert DynamicReplica(root, ClipSelection("val")).sequences == ["a_obj_source_left"]
    assert DynamicReplica(root, ClipSelection("test")).sequences == ["real_000_source_right"]
    with pytest.raises(UserError, match=r"no frame_annotations_train\.jgz.*1.8 TB, 106 GB or 328 GB"):
        DynamicReplica(root, ClipSelection("train"))


def test_dynamic_replica_camera_and_partial_download(tmp_path: Path) -> None:
    dynamic_replica.write(tmp_path, {"a_obj": room()}, camera="right")
    with pytest.raises(UserError, match="no sequence with at least 8 frames"):
        DynamicReplica(tmp_path, options=DynamicReplicaOptions(camera="left"))
    (tmp_path / "train/a_obj_source_right/images/a_obj_source_right-0007.png").unlink()
    assert DynamicReplica(tmp_path, ClipSelection(min_frames=1)).frame_numbers("a_obj_source_right") == list(range(7))


def test_dynamic_replica_damaged_annotation(tmp_path: Path) -> None:
    dynamic_replica.write(tmp_path, {"a_obj": room()})
    path = tmp_path / "train/frame_annotations_train.jgz"
    entries = json.loads(gzip.decompress(path.read_bytes()))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(UserError, match="cannot be read as JSON"):
        DynamicReplica(tmp_path)
    del entries[0]["viewpoint"]["R"]
    path.write_bytes(gzip.compress(json.dumps(entries).encode()))
    with pytest.raises(UserError, match="a viewpoint has no R"):
        DynamicReplica(tmp_path).load("a_obj_source_left", [0])
    del entries[0]["image"]
    path.write_bytes(gzip.compress(json.dumps(entries).encode()))
    with pytest.raises(UserError, match="no usable 'image'"):
        DynamicReplica(tmp_path)


# --- Kubric: float32 distance, or 16 bits over the depth range ---


@pytest.mark.parametrize("quantised", [False, True])
def test_kubric_gives_back_what_was_written(tmp_path: Path, quantised: bool) -> None:
    truth = tracked(**RIGID)
    clip = truth.clip
    kubric.write(tmp_path, {"scene_0001": clip}, quantised, {"scene_0001": kubric.objects_of(truth.scene)})
    loaded = Kubric(tmp_path).load("scene_0001", FRAME_LIST)
    span = kubric.distance(clip)
    step = float(span.max() - span.min()) / 65535
    assert_same_geometry(loaded, clip, depth_error=step if quantised else 1e-6 * float(span.max()))
    assert_same_images(loaded, clip)
    assert torch.equal(loaded.instances, clip.instances.long())
    assert torch.equal(loaded.moving, clip.moving)
    assert clip.moving.any()
    torch.testing.assert_close(loaded.tracks, clip.tracks)
    assert torch.equal(loaded.tracks_visible, clip.tracks_visible)


def test_kubric_pixels_are_square_in_wide_images(tmp_path: Path) -> None:
    clip = symmetric(height=32, width=64)
    kubric.write(tmp_path, {"scene_0001": clip})
    K = Kubric(tmp_path).load("scene_0001", [0]).K[0]
    assert K[0, 0] == pytest.approx(float(K[1, 1]))
    torch.testing.assert_close(K, clip.K[0], atol=1e-4, rtol=0)


def test_a_kubric_camera_may_tell_its_lens_in_millimetres() -> None:
    by_angle = kubric_intrinsics({"field_of_view": 2 * np.arctan(32 / 2 / 35)}, 24, 40)
    np.testing.assert_allclose(kubric_intrinsics({"focal_length": 35, "sensor_width": 32}, 24, 40), by_angle)
    assert by_angle[0] == pytest.approx([35 / 32 * 40, 0, 19.5])


def test_kubric_tracks_follow_frame_numbers(tmp_path: Path) -> None:
    clip = tracked(**RIGID).clip
    kubric.write(tmp_path, {"scene_0001": clip})
    loaded = Kubric(tmp_path).load("scene_0001", [6, 1])
    torch.testing.assert_close(loaded.tracks, clip.tracks[[6, 1]])
    np.save(tmp_path / "scene_0001/tracks.npy", np.zeros((5, 7, 2)))
    with pytest.raises(UserError, match="tracks of 7 frames, images of 8"):
        Kubric(tmp_path).load("scene_0001", [0])


def test_kubric_a_body_without_poses_does_not_shift_the_labels(tmp_path: Path) -> None:
    clip = symmetric()
    still = {"positions": [[0, 0, 0]] * FRAMES, "quaternions": [[1, 0, 0, 0]] * FRAMES}
    moves = {"positions": [[0, 0, 0.1 * t] for t in range(FRAMES)], "quaternions": [[1, 0, 0, 0]] * FRAMES}
    turns = still | {"quaternions": [[np.cos(0.1 * t), 0, np.sin(0.1 * t), 0] for t in range(FRAMES)]}
    kubric.write(tmp_path, {"s": clip}, objects={"s": [{"asset_id": "lamp"}, moves, still, {}, turns]})
    loaded = Kubric(tmp_path).load("s", [3])
    assert torch.equal(loaded.moving[0], (clip.instances[3] == 2) | (clip.instances[3] == 5))


def test_kubric_bad_files(tmp_path: Path) -> None:
    kubric.write(tmp_path, {"s": symmetric()}, quantised=True)
    path = tmp_path / "s/metadata.json"
    stored = json.loads(path.read_text())

    def message_with(**changes: object) -> str:
        folder = tmp_path / f"copy{len(list(tmp_path.iterdir()))}" / "s"
        folder.mkdir(parents=True)
        for file in path.parent.iterdir():
            (folder / file.name).write_bytes(file.read_bytes())
        (folder / "metadata.json").write_text(json.dumps(stored | changes))
        with pytest.raises(UserError) as caught:
            Kubric(folder.parent).load("s", [7])
        return str(caught.value)

    camera = stored["camera"]
    assert "no depth_range" in message_with(metadata={})
    assert "there is none for frame 7" in message_with(camera=camera | {"positions": camera["positions"][:5]})
    assert "neither field_of_view nor" in message_with(camera={"positions": [], "quaternions": []})
    assert "metadata.json, frame 7: pose 0 " in message_with(camera=camera | {"quaternions": [[0, 0, 0, 0]] * FRAMES})


# --- Spring: float32 disparity ---


def test_spring_gives_back_what_was_written(tmp_path: Path) -> None:
    clip = outdoors(**SKEWED)
    spring.write(tmp_path, {"0001": clip})
    dataset = Spring(tmp_path)
    assert dataset.frame_numbers("0001") == list(range(1, 9))
    loaded = dataset.load("0001", range(1, 9))
    assert_same_geometry(loaded, clip, relative=1e-6)
    assert_same_images(loaded, clip)
    assert torch.equal(loaded.moving, clip.moving)


def test_spring_frames_of_a_still_world_coincide(tmp_path: Path) -> None:
    # The public depth is 3840 / width times too large against the poses, so its frames do not fit together.
    clip = room(moving_bodies=(0, 0), moving_share=0.0)
    spring.write(tmp_path, {"0001": clip})
    loaded = Spring(tmp_path).load("0001", [1, 8])
    points = world_points(loaded.depth[:1], loaded.K[:1], loaded.cam_from_world[:1]).flatten(1, 2)
    pixel, z = project(transform(loaded.cam_from_world[1:], points), loaded.K[1:])
    x, y = pixel[0].round().long().unbind(-1)
    inside = (x >= 0) & (x < WIDTH) & (y >= 0) & (y < HEIGHT) & (z[0] > 0)
    assert inside.float().mean() > 0.5
    error = (loaded.depth[1, y[inside], x[inside]] - z[0, inside]).abs()
    assert error.median() < 0.05


def test_spring_right_eye_stands_to_the_right(tmp_path: Path) -> None:
    truth = tracked(**SKEWED)
    right = render_clip(spring.right_eye(truth.scene))
    spring.write(tmp_path, {"0001": truth.clip}, {"0001": right})
    loaded = Spring(tmp_path, options=SpringOptions(eye="right")).load("0001", range(1, 9))
    assert_same_geometry(loaded, right, relative=1e-6)
    centre = -(loaded.cam_from_world[:, :, :3].mT @ loaded.cam_from_world[:, :, 3:])
    left = -(truth.clip.cam_from_world[:, :, :3].mT @ truth.clip.cam_from_world[:, :, 3:])
    axis = truth.clip.cam_from_world[:, 0, :3]
    torch.testing.assert_close(centre[..., 0] - left[..., 0], 0.065 * axis, atol=1e-5, rtol=0)


def test_spring_archives_beside_the_tree_change_nothing(tmp_path: Path) -> None:
    spring.write(tmp_path, {"0001": room(), "0002": room(4)})
    for name in ("train_frame_left.zip", "train_disp1_left.zip", "train_cam_data.zip"):
        (tmp_path / name).write_bytes(b"PK")
    dataset = Spring(tmp_path)
    assert dataset.sequences == ["0001", "0002"]
    torch.testing.assert_close(dataset.load("0002", [3]).depth[0], room(4).depth[2])


def test_spring_bad_files(tmp_path: Path) -> None:
    spring.write(tmp_path, {"0001": room()})
    folder = tmp_path / "train/0001"
    with h5py.File(folder / "disp1_left/disp1_left_0001.dsp5", "w") as file:
        file["flow"] = np.zeros((96, 128, 2))
    with h5py.File(folder / "disp1_left/disp1_left_0002.dsp5", "w") as file:
        file["disparity"] = np.ones((48, 64))
    path = folder / "disp1_left/disp1_left_0003.dsp5"
    path.write_bytes(path.read_bytes()[:100])
    dataset = Spring(tmp_path)
    for number, message in (
        (1, "expected a data set .disparity."),
        (2, "expected twice the image's 64 x 48"),
        (3, "cannot be read"),
    ):
        with pytest.raises(UserError, match=message):
            dataset.load("0001", [number])
    assert not Spring(tmp_path, ClipSelection(depth=DepthRule(load=False))).load("0001", [3]).valid.any()
    (folder / "disp1_left/disp1_left_0004.dsp5").unlink()
    with pytest.raises(UserError, match=r"0004\.dsp5 is missing"):
        dataset.load("0001", [4])


@pytest.mark.parametrize("file", ["intrinsics.txt", "extrinsics.txt"])
def test_spring_invents_no_camera(tmp_path: Path, file: str) -> None:
    spring.write(tmp_path, {"0001": room()})
    path = tmp_path / "train/0001/cam_data" / file
    rows = path.read_text().splitlines()
    path.unlink()
    with pytest.raises(UserError, match="is missing"):
        Spring(tmp_path).load("0001", [1])
    path.write_text("\n".join([rows[0], rows[1] + " 5"]))
    with pytest.raises(UserError, match=r"line 2: \d+ numbers, expected"):
        Spring(tmp_path).load("0001", [1])
