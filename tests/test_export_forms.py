"""Exports that follow other tools' habits: nerfstudio, KITTI, one camera, axes, names, levels of depth."""

from __future__ import annotations

import csv
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
import pytest
import torch
import trimesh
from evo.tools import file_interface
from little_scene import little_clip, little_prediction
from PIL import Image

from page4d.geometry import Similarity, invert, project, transform
from page4d.io.depth_png import read_depth_png
from page4d.io.safe_names import LONGEST_BYTES
from page4d.io.trajectories import read_trajectory
from page4d.io.video import write_video
from page4d.result.cloud import CloudOptions, cloud_of, usable_pixels, world_from_cam
from page4d.result.exports import ExportOptions, export
from page4d.result.exports.colmap import model_of
from page4d.result.exports.names import file_names, file_stems
from page4d.result.metric_scale import scale_from_trajectory
from page4d.result.placed import levelled, moved, without_far
from page4d.schema import Prediction, UserError, atomic_write

ALL = CloudOptions(drop=0)


@pytest.fixture
def prediction() -> Prediction:
    return little_prediction()


def renamed(prediction: Prediction, *names: str) -> Prediction:
    return replace(prediction, frame_names=names)


# --- names ----------------------------------------------------------------------------------------------------------


def test_good_names_stay(prediction: Prediction) -> None:
    names = ["a.png", "b.jpg", "Größe 3.jpg".replace(" ", "_"), "1700000000.123456.png"]
    assert file_names(renamed(prediction, *names)) == names


def test_two_cameras_have_their_folders_in_the_names(prediction: Prediction) -> None:
    named = renamed(prediction, "cam0/1.jpg", "cam0/2.jpg", "cam1/1.jpg", "cam1/2.jpg")
    assert file_names(named) == ["cam0_1.jpg", "cam0_2.jpg", "cam1_1.jpg", "cam1_2.jpg"]


@pytest.mark.parametrize(
    "names",
    [
        ("a.png", "a.png", "a.png", "b.png"),
        ("a b.png", "a_b.png", "c", "d"),
        ("a.png", "a.jpg", "A.png", "b"),
        ("../../etc/passwd", "/etc/passwd", "C:\\x\\passwd", "passwd"),
        ("x" * 250 + "1.png", "x" * 250 + "2.png", "ü" * 130 + ".png", "é" * 126),
        ("\udcff.png", "\x00.png", "\n.png", ""),
        ("con.png", "nul", "a:b?.png", ".."),
        ("." * 9, ".png", " ", "_"),
    ],
)
def test_strange_names_become_safe_and_none_is_lost(
    prediction: Prediction, names: tuple[str, ...], tmp_path: Path
) -> None:
    named = renamed(prediction, *names)
    stems = file_stems(named)
    assert len({stem.casefold() for stem in stems}) == 4
    for name in file_names(named):
        assert 0 < len(name.encode()) <= LONGEST_BYTES + 6
        assert not set(name) & set('/\\:*?"<>|\0\n ')
        assert name not in (".", "..")
    written = export(named, tmp_path, ["depth-npy", "depth-png", "cameras"], ExportOptions(size="input"))
    assert len(set(written["depth-npy"])) == 4
    assert all(path.resolve().is_relative_to(tmp_path) and path.is_file() for path in written["depth-npy"])


def test_colmap_takes_two_cameras_of_equal_names(prediction: Prediction, tmp_path: Path) -> None:
    own = tmp_path / "own"
    for i, name in enumerate(("cam0/1.png", "cam0/2.png", "cam1/1.png", "cam1/2.png")):
        (own / name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(prediction.images[i]).save(own / name)
    named = renamed(prediction, "cam0/1.png", "cam0/2.png", "cam1/1.png", "cam1/2.png")
    export(named, tmp_path, ["colmap"], ExportOptions(images=own, cloud=ALL))
    found = pycolmap.Reconstruction(tmp_path / "sparse" / "0")
    for i, name in enumerate(("cam0_1.png", "cam0_2.png", "cam1_1.png", "cam1_2.png")):
        assert found.find_image_with_name(name) is not None
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "images" / name)), prediction.images[i])


# --- nerfstudio -----------------------------------------------------------------------------------------------------


def test_nerfstudio_cameras_see_their_points(prediction: Prediction, tmp_path: Path) -> None:
    moving = np.zeros(prediction.depth.shape, np.bool_)
    moving[:, :5] = True
    export(prediction, tmp_path, ["nerfstudio"], ExportOptions(size="input", moving=moving, cloud=ALL))
    folder = tmp_path / "nerfstudio"
    stored = json.loads((folder / "transforms.json").read_text())
    points = np.asarray(trimesh.load(folder / stored["ply_file_path"]).vertices, np.float64)
    cloud = cloud_of(prediction, ALL, moving)
    still = cloud[~cloud.moving]
    assert len(points) == len(still)
    for i, frame in enumerate(stored["frames"]):
        assert (frame["w"], frame["h"]) == (48, 36)
        mine = still.frame == i
        local = (points[mine] - np.array(frame["transform_matrix"])[:3, 3]) @ np.array(frame["transform_matrix"])[
            :3, :3
        ]
        assert (local[:, 2] < 0).all()  # OpenGL cameras look along -z, and y is up
        x = frame["cx"] + frame["fl_x"] * local[:, 0] / -local[:, 2]
        y = frame["cy"] - frame["fl_y"] * local[:, 1] / -local[:, 2]
        np.testing.assert_allclose(np.stack((x, y), -1), still.pixel[mine] + 0.5, atol=1e-3)
        mask = np.asarray(Image.open(folder / frame["mask_path"]))
        assert (mask[:5] == 0).all()
        assert (mask[5:] == 255).all()
        np.testing.assert_array_equal(np.asarray(Image.open(folder / frame["file_path"])), prediction.images[i])


# --- trajectories ---------------------------------------------------------------------------------------------------


def test_kitti_poses_are_read_by_evo_and_by_us(prediction: Prediction, tmp_path: Path) -> None:
    (path,) = export(prediction, tmp_path, ["kitti"])["kitti"]
    poses = np.stack(file_interface.read_kitti_poses_file(str(path)).poses_se3)
    np.testing.assert_allclose(poses[:, :3], world_from_cam(prediction), atol=1e-7)
    ours = read_trajectory(path)
    np.testing.assert_allclose(ours.world_from_camera, poses)
    assert np.isnan(ours.stamps).all()


def test_scale_from_kitti_poses_pairs_one_to_one(prediction: Prediction, tmp_path: Path) -> None:
    big = moved(prediction, Similarity(torch.tensor(2.5).double(), torch.eye(3).double(), torch.zeros(3).double()))
    (path,) = export(big, tmp_path, ["kitti"])["kitti"]
    assert not np.isnan(prediction.timestamps_s).any()
    assert scale_from_trajectory(prediction, read_trajectory(path)).factor == pytest.approx(2.5, rel=1e-5)
    with pytest.raises(UserError, match="4 poses for 3 frames"):
        scale_from_trajectory(prediction[:3], read_trajectory(path))


def test_tum_is_read_as_a_trajectory_with_times(prediction: Prediction, tmp_path: Path) -> None:
    (path,) = export(prediction, tmp_path, ["tum"])["tum"]
    np.testing.assert_allclose(read_trajectory(path).stamps, prediction.timestamps_s, atol=1e-6)
    path.write_text("1 2 3\n")
    with pytest.raises(UserError, match="3 values, expected 8 or 12 or 16"):
        read_trajectory(path)


# --- one camera -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["colmap", "colmap-bin"])
def test_one_camera_for_all_frames(prediction: Prediction, form: str, tmp_path: Path) -> None:
    K = prediction.K.copy()
    K[:, 0, 0] *= np.array([1.0, 1.1, 0.9, 1.02], np.float32)
    export(replace(prediction, K=K), tmp_path, [form], ExportOptions(size="input", camera="single", cloud=ALL))
    found = pycolmap.Reconstruction(tmp_path / "sparse" / "0")
    (camera,) = found.cameras.values()
    assert camera.params[0] == pytest.approx(1.01 * prediction.K[0, 0, 0], rel=1e-5)
    assert {image.camera_id for image in found.images.values()} == {camera.camera_id}
    # Points are lifted with the shared camera, so they are seen where they were seen.
    found.update_point_3d_errors()
    assert found.compute_mean_reprojection_error() < 0.3


def test_one_camera_needs_one_size(prediction: Prediction, tmp_path: Path) -> None:
    size = prediction.original_hw.copy()
    size[1] += 1
    with pytest.raises(UserError, match="needs pictures of one size"):
        export(replace(prediction, original_hw=size), tmp_path, ["colmap"], ExportOptions(camera="single"))
    with pytest.raises(UserError, match="camera is 'both'; choose one of 'each', 'single'"):
        ExportOptions(camera="both")


# --- worlds and axes ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("up", "column", "sign"), [("opencv", 1, -1), ("y", 1, 1), ("z", 2, 1)])
def test_ply_axes(prediction: Prediction, up: str, column: int, sign: int, tmp_path: Path) -> None:
    (path, *_) = export(prediction, tmp_path, ["ply"], ExportOptions(up=up, cloud=ALL))["ply"]
    points = np.asarray(trimesh.load(path).vertices)
    ours = cloud_of(prediction, ALL).xyz
    np.testing.assert_allclose(sign * points[:, column], -ours[:, 1], atol=1e-6)
    # A turn, not a mirror: distances and handedness stay.
    a, b, c = (points[[0, 400, 1500]] - points[7]), (ours[[0, 400, 1500]] - ours[7]), 1e-4
    assert np.linalg.det(a) == pytest.approx(np.linalg.det(b.astype(np.float64)), rel=1e-3, abs=c)


@pytest.mark.parametrize("angle", [0.0, 0.4, -1.2, np.pi])
def test_a_tilted_world_is_levelled(prediction: Prediction, angle: float) -> None:
    upright = replace(prediction, cam_from_world=np.repeat(prediction.cam_from_world[:1], 4, axis=0))
    c, s = np.cos(angle), np.sin(angle)
    tilt = torch.tensor([[1, 0, 0], [0, c, -s], [0, s, c]], dtype=torch.float64)
    tilted = moved(upright, Similarity(torch.tensor(1.0).double(), tilt, torch.zeros(3).double()))
    level = levelled(tilted)
    up = -level.cam_from_world[:, 1, :3]
    np.testing.assert_allclose(up, np.tile([0, -1, 0], (4, 1)), atol=1e-6)
    rotation = level.cam_from_world[0, :, :3]
    assert np.linalg.det(rotation) == pytest.approx(1, abs=1e-5)
    pose, K, points = (torch.from_numpy(a[:1]).double() for a in (level.cam_from_world, level.K, level.points))
    _, z = project(transform(pose, points.flatten(1, 2)), K)
    np.testing.assert_allclose(z.numpy().reshape(level.depth[:1].shape), level.depth[:1], atol=1e-4)


def test_cameras_that_roll_have_no_up(prediction: Prediction) -> None:
    turns = torch.arange(4) * torch.pi / 2
    pose = prediction.cam_from_world.copy()
    for i, turn in enumerate(turns.tolist()):
        pose[i, :, :3] = [[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]]
    with pytest.raises(UserError, match="do not agree what is up"):
        levelled(replace(prediction, cam_from_world=pose))


def test_what_is_far_is_left_out(prediction: Prediction) -> None:
    limit = float(np.median(prediction.depth))
    near = without_far(prediction, limit)
    assert ((near.depth == 0) == (prediction.depth > limit)).all()
    cloud = cloud_of(near, ALL)
    assert len(cloud) == (prediction.depth <= limit).sum()
    for limit, words in ((0.0, "expected a positive number"), (1e-3, "no pixel has a depth of at most 0.001")):
        with pytest.raises(UserError, match=words):
            without_far(prediction, limit)


# --- depth ----------------------------------------------------------------------------------------------------------


def test_a_far_sky_leaves_the_near_scene_its_levels(prediction: Prediction, tmp_path: Path) -> None:
    depth = prediction.depth.copy()
    depth[1, :4] = 5000
    paths = export(replace(prediction, depth=depth), tmp_path, ["depth-png"], ExportOptions(size="input"))["depth-png"]
    rows = list(csv.DictReader((tmp_path / "depth" / "scales.csv").open()))
    assert [row["file"] for row in rows] == [path.name for path in paths[:4]]
    for i, row in enumerate(rows):
        read = read_depth_png(paths[i])
        stored = np.asarray(Image.open(paths[i]))
        near = depth[i] < 100
        np.testing.assert_allclose(read[near], depth[i][near], rtol=0.003)
        assert len(np.unique(stored[near])) > 100
        assert float(row["scale"]) == pytest.approx(float(Image.open(paths[i]).info["depth_scale"]), rel=1e-8)
        assert float(row["share_beyond"]) == pytest.approx((~near).mean(), abs=1e-6)
        assert (stored[~near] == 65535).all()
    assert float(rows[0]["scale"]) != float(rows[1]["scale"])


def test_the_depth_notes_say_the_unit(prediction: Prediction, tmp_path: Path) -> None:
    export(prediction, tmp_path, ["depth-png"])
    assert "z depth in m = value / scale" in (tmp_path / "depth" / "README.txt").read_text()


# --- films ----------------------------------------------------------------------------------------------------------


def test_a_films_own_frames_go_beside_the_cameras(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(0, 255, (6, 1, 1, 3), np.uint8), 72, axis=1).repeat(96, axis=2)
    film = tmp_path / "walk.mp4"
    write_video(film, frames)
    two = little_prediction(2)
    size = np.array([[72, 96]] * 2)
    box = np.array([[0, 0, 96.0, 72.0]] * 2)
    two = replace(two, frame_names=("walk_000001", "walk_000004"), original_hw=size, box_in_original=box)
    export(two, tmp_path, ["colmap"], ExportOptions(images=film, cloud=ALL))
    found = pycolmap.Reconstruction(tmp_path / "sparse" / "0")
    assert {(camera.width, camera.height) for camera in found.cameras.values()} == {(96, 72)}
    for name, i in (("walk_000001.png", 1), ("walk_000004.png", 4)):
        picture = np.asarray(Image.open(tmp_path / "images" / name), np.int64)
        assert picture.shape == (72, 96, 3)
        assert np.abs(picture - frames[i]).max() < 12
    with pytest.raises(UserError, match="ends before frame 9"):
        export(
            replace(two, frame_names=("walk_000001", "walk_000009")), tmp_path, ["colmap"], ExportOptions(images=film)
        )
    with pytest.raises(UserError, match="not named like a film"):
        export(replace(two, frame_names=("a.png", "b.png")), tmp_path, ["colmap"], ExportOptions(images=film))


# --- what COLMAP's points are seen by -------------------------------------------------------------------------------


def test_a_point_behind_something_or_behind_the_camera_is_not_seen() -> None:
    """Two cameras: the second looks back from behind the first's wall, a third stands behind a board."""
    exact = little_prediction(3, still=True)
    pose = np.repeat(exact.cam_from_world[:1], 3, axis=0)
    pose[1, :, :3] = np.diag([-1.0, 1, -1]) @ pose[0, :, :3]  # looks the other way: all points lie behind it
    depth = exact.depth.copy()
    depth[:] = 4.0
    depth[2] = 1.0  # a board before the third camera, which stands where the first does
    scene = replace(exact, cam_from_world=pose.astype(np.float32), depth=depth, points=None, points_conf=None)
    model = model_of(scene, ExportOptions(size="input", cloud=ALL))
    frame_of = model.cloud.frame[model.sightings.point]
    assert (frame_of == model.sightings.image).all()  # nobody sees another's points
    near = depth.copy()
    near[2] = 4.0
    model = model_of(replace(scene, depth=near), ExportOptions(size="input", cloud=ALL))
    frame_of = model.cloud.frame[model.sightings.point]
    assert ((frame_of == 0) & (model.sightings.image == 2)).sum() == 36 * 48
    assert not ((frame_of != 1) & (model.sightings.image == 1)).any()


def test_head_points_that_are_not_finite_are_left_out(prediction: Prediction) -> None:
    points = prediction.points.copy()
    points[0, 3, 4, 1] = np.nan
    points[1, 5, 6, 2] = np.inf
    cloud = cloud_of(replace(prediction, points=points), CloudOptions("points", drop=0))
    assert np.isfinite(cloud.xyz).all()
    assert len(cloud) == prediction.depth.size - 2


@pytest.mark.parametrize(
    ("field", "factor", "message"),
    [
        ("cam_from_world", 2, r"camera of frame 0 .* is not rigid"),
        ("cam_from_world", [-1, 1, 1, 1], "is not rigid"),
        ("K", 0, "a focal length is 0 px; expected positive ones"),
        ("K", -1, "is no K, expected"),
        ("K", 2, "is no K, expected"),
        ("depth", 1e30, r"reach .*e\+3\d; expected at most 1e\+12"),
    ],
)
def test_what_no_network_predicts_is_refused(field: str, factor: Any, message: str) -> None:
    prediction = little_prediction()
    changed = (getattr(prediction, field) * np.asarray(factor)).astype(np.float32)
    with pytest.raises(UserError, match=message):
        usable_pixels(replace(prediction, **{field: changed}))


@pytest.mark.parametrize("source", ["depth", "points"])
def test_nan_confidence_is_never_among_the_most_confident(prediction: Prediction, source: str) -> None:
    confidence = prediction.depth_conf.copy()
    confidence[:, :10] = np.nan
    unsure = replace(prediction, depth_conf=confidence, points_conf=confidence)
    for drop in (0.0, 0.5, 0.9):
        cloud = cloud_of(unsure, CloudOptions(source, drop=drop))
        assert (cloud.pixel[:, 1] >= 10).all()


# --- places that are written ----------------------------------------------------------------------------------------


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    link.symlink_to(real)
    with atomic_write(link, "w") as stream:
        stream.write("new")
    assert link.is_symlink()
    assert real.read_text() == "new"
    dangling = tmp_path / "dangling.txt"
    dangling.symlink_to(tmp_path / "later.txt")
    with atomic_write(dangling, "w") as stream:
        stream.write("new")
    assert dangling.is_symlink()
    assert (tmp_path / "later.txt").read_text() == "new"


def test_no_device_pipe_or_folder_is_replaced(tmp_path: Path) -> None:
    pipe, link = tmp_path / "pipe", tmp_path / "null"
    os.mkfifo(pipe)
    link.symlink_to("/dev/null")
    for path in (pipe, link, Path("/dev/null"), tmp_path):
        with pytest.raises(UserError, match=r"cannot write .*which stays"), atomic_write(path) as stream:
            stream.write(b"x")
    assert pipe.is_fifo()
    assert Path("/dev/null").is_char_device()
    loop = tmp_path / "loop"
    loop.symlink_to(loop)
    with pytest.raises(UserError, match="cannot write"), atomic_write(loop):
        pass


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    with atomic_write(path, "w") as stream:
        stream.write("x")
    assert path.read_text() == "x"


def test_clips_and_inverse_agree() -> None:
    """The little scene's own exactness, on which the tests above lean."""
    clip = little_clip(2)
    exact = little_prediction(2)
    pose = torch.from_numpy(exact.cam_from_world).double()
    back = transform(invert(pose), transform(pose, torch.from_numpy(exact.points).double().flatten(1, 2)))
    np.testing.assert_allclose(back.numpy().reshape(exact.points.shape), exact.points, atol=1e-5)
    assert len(clip) == 2
