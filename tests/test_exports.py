"""Every export, read back by a reader that is not ours, against closed-form truth with fx != fy and an odd centre."""

from __future__ import annotations

import errno
import json
import os
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pycolmap
import pytest
import trimesh
from evo.tools import file_interface
from little_scene import little_clip, little_prediction
from PIL import Image

from page4d.result.cloud import CloudOptions, cloud_of
from page4d.result.exports import FORMATS, ExportOptions, export
from page4d.result.exports.names import file_names
from page4d.result.original import depth_in_original, mask_in_original, with_intrinsics
from page4d.result.pixel_map import PixelMap
from page4d.schema import Prediction, UserError

ALL = CloudOptions(drop=0.0)


@pytest.fixture(scope="module")
def prediction() -> Prediction:
    return little_prediction()


@pytest.fixture(scope="module")
def moving() -> np.ndarray:
    mask = little_clip().moving
    assert mask is not None
    return mask.numpy()


def cropped(prediction: Prediction) -> Prediction:
    """The same prediction as if the input had been cut out of a larger picture and resized by 2 and 1.5."""
    s, h, w = prediction.depth.shape
    box = np.tile([[10.0, -6.0, 10 + 2.0 * w, -6 + 1.5 * h]], (s, 1))
    return replace(prediction, box_in_original=box, original_hw=np.tile([[44, 120]], (s, 1)))


def _K_in_original(prediction: Prediction) -> np.ndarray:
    return PixelMap.of(prediction).K_in_original(prediction.K)


def test_ply_is_read_by_trimesh(prediction: Prediction, moving: np.ndarray, tmp_path: Path) -> None:
    paths = export(prediction, tmp_path, ["ply"], ExportOptions(cloud=ALL, moving=moving))["ply"]
    whole, still = (trimesh.load(path) for path in paths)
    assert prediction.points is not None
    np.testing.assert_allclose(whole.vertices, prediction.points.reshape(-1, 3), atol=1e-5)
    np.testing.assert_array_equal(whole.colors[:, :3], prediction.images.reshape(-1, 3))
    assert len(still.vertices) == (~moving).sum()


def test_glb_points_and_cameras(prediction: Prediction, tmp_path: Path) -> None:
    (path,) = export(prediction, tmp_path, ["glb"], ExportOptions(cloud=ALL))["glb"]
    scene = trimesh.load(path)
    points = scene.geometry["points"]
    assert prediction.points is not None
    flipped = prediction.points.reshape(-1, 3) * [1, -1, -1]
    np.testing.assert_allclose(points.vertices, flipped, atol=1e-5)
    np.testing.assert_array_equal(np.asarray(points.colors)[:, :3], prediction.images.reshape(-1, 3))
    tree = _glb_tree(path)
    nodes = [node for node in tree["nodes"] if "camera" in node]
    assert [n["camera"] for n in nodes] == [0, 1, 2, 3]
    last = np.array(nodes[3]["matrix"]).reshape(4, 4).T
    # A point one unit before the camera, in glTF's camera, must be the point at depth 1 of the OpenCV camera.
    ahead = last @ [0.3, 0.2, -1.0, 1.0]
    pose = prediction.cam_from_world[3].astype(float)
    back = pose[:, :3] @ (ahead[:3] * [1, -1, -1]) + pose[:, 3]
    np.testing.assert_allclose(back, [0.3, -0.2, 1.0], atol=1e-6)
    lens = tree["cameras"][0]["perspective"]
    assert np.tan(lens["yfov"] / 2) == pytest.approx(36 / 2 / 46)
    assert lens["aspectRatio"] * np.tan(lens["yfov"] / 2) == pytest.approx(48 / 2 / 40)


def _glb_tree(path: Path) -> dict:
    data = path.read_bytes()
    length = struct.unpack_from("<I", data, 12)[0]
    return json.loads(data[20 : 20 + length])


@pytest.mark.parametrize("kind", ["colmap", "colmap-bin"])
@pytest.mark.parametrize("size", ["input", "original"])
def test_colmap_is_read_by_pycolmap(
    prediction: Prediction, moving: np.ndarray, tmp_path: Path, kind: str, size: str
) -> None:
    """Points seen through pycolmap's own cameras land on the stored observations and carry the right colour."""
    shown = cropped(prediction)
    export(shown, tmp_path, [kind], ExportOptions(size=size, cloud=replace(ALL, max_points=900), moving=moving))
    model = pycolmap.Reconstruction(tmp_path / "sparse" / "0")
    assert model.num_images() == 4
    assert 0 < model.num_points3D() <= 900
    camera = model.cameras[model.images[1].camera_id]
    sx, sy, x0, y0 = (2, 1.5, 10, -6) if size == "original" else (1, 1, 0, 0)
    assert (camera.width, camera.height) == ((120, 44) if size == "original" else (48, 36))
    np.testing.assert_allclose(
        camera.params, [40 * sx, 46 * sy, (25.5 + 0.5) * sx + x0, (16.25 + 0.5) * sy + y0], rtol=1e-6
    )
    sightings = 0
    for image in model.images.values():
        index = int(image.image_id) - 1
        for observation in image.points2D:
            point = model.points3D[observation.point3D_id]
            seen = model.cameras[image.camera_id].img_from_cam((image.cam_from_world() * point.xyz)[None])[0]
            assert np.abs(seen - observation.xy).max() < 2e-3
            sightings += 1
            x, y = (observation.xy - [x0, y0]) / [sx, sy] - 0.5
            column, row = round(x), round(y)
            if abs(x - column) < 1e-4 and abs(y - row) < 1e-4 and point.track.length() == 1:
                np.testing.assert_array_equal(point.color, prediction.images[index, row, column])
    assert sightings > 1.5 * model.num_points3D()
    assert model.compute_mean_reprojection_error() < 2e-3


def test_colmap_leaves_moving_points_out(prediction: Prediction, moving: np.ndarray, tmp_path: Path) -> None:
    options = ExportOptions(cloud=ALL, moving=moving)
    export(prediction, tmp_path, ["colmap-bin"], options)
    still = pycolmap.Reconstruction(tmp_path / "sparse" / "0").num_points3D()
    export(prediction, tmp_path, ["colmap-bin"], replace(options, keep_moving=True))
    whole = pycolmap.Reconstruction(tmp_path / "sparse" / "0").num_points3D()
    assert whole - still == moving.sum()
    with pytest.raises(UserError, match="keep-moving"):
        export(prediction, tmp_path, ["colmap"], ExportOptions(moving=np.ones_like(moving)))


def test_colmap_pictures(prediction: Prediction, tmp_path: Path) -> None:
    export(prediction, tmp_path, ["colmap"], ExportOptions(size="input", cloud=ALL))
    stored = np.asarray(Image.open(tmp_path / "images" / "frame_0002.png"))
    np.testing.assert_array_equal(stored, prediction.images[2])
    own = tmp_path / "own"
    own.mkdir()
    named = replace(prediction, frame_names=tuple(f"a{i}.jpg" for i in range(4)))
    for name in named.frame_names:
        Image.new("RGB", (48, 36)).save(own / name)
    target = tmp_path / "copied"
    target.mkdir()
    export(named, target, ["colmap"], ExportOptions(images=own, cloud=ALL))
    assert sorted(p.name for p in (target / "images").iterdir()) == list(named.frame_names)
    Image.new("RGB", (47, 36)).save(own / "a1.jpg")
    with pytest.raises(UserError, match="47 x 36"):
        export(named, target, ["colmap"], ExportOptions(images=own, cloud=ALL))


def test_blanks_in_names_do_not_cut_them(prediction: Prediction, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    names = tuple(f"my photo {i}.png" for i in range(len(prediction)))
    for name, (height, width) in zip(names, prediction.original_hw, strict=True):
        Image.new("RGB", (int(width), int(height))).save(own / name)
    blank = replace(prediction, frame_names=names)
    export(blank, tmp_path, ["colmap", "depth-npy"], ExportOptions(images=own))
    found = [im.name for im in pycolmap.Reconstruction(tmp_path / "sparse" / "0").images.values()]
    assert sorted(found) == [f"my_photo_{i}.png" for i in range(len(prediction))]
    assert all((tmp_path / "images" / name).is_file() for name in found)
    assert {p.stem for p in tmp_path.rglob("*.npy")} == {Path(name).stem for name in found}
    twins = replace(prediction, frame_names=("a b.png", "a_b.png", *names[2:]))
    assert len(set(file_names(twins))) == len(prediction)


def test_tum_is_read_by_evo(prediction: Prediction, tmp_path: Path) -> None:
    (path,) = export(prediction, tmp_path, ["tum"])["tum"]
    read = file_interface.read_tum_trajectory_file(str(path))
    np.testing.assert_allclose(read.timestamps, prediction.timestamps_s, atol=1e-6)
    for pose, cam_from_world in zip(read.poses_se3, prediction.cam_from_world, strict=True):
        np.testing.assert_allclose(pose @ np.vstack((cam_from_world, [0, 0, 0, 1])), np.eye(4), atol=1e-6)
    untimed = replace(prediction, timestamps_s=np.full(4, np.nan))
    (path,) = export(untimed, tmp_path, ["tum"])["tum"]
    np.testing.assert_array_equal(file_interface.read_tum_trajectory_file(str(path)).timestamps, [0, 1, 2, 3])


def test_depth_files_agree(prediction: Prediction, tmp_path: Path) -> None:
    OpenEXR = pytest.importorskip("OpenEXR", reason="EXR needs the extra 'exr'")
    export(prediction, tmp_path, ["depth-png", "depth-npy", "depth-exr"])
    for i, name in enumerate(prediction.frame_names):
        array = np.load(tmp_path / "depth_npy" / f"{name}.npy")
        np.testing.assert_array_equal(array, prediction.depth[i])
        with OpenEXR.File(str(tmp_path / "depth_exr" / f"{name}.exr")) as file:
            np.testing.assert_array_equal(file.channels()["Z"].pixels, array)
        with Image.open(tmp_path / "depth" / f"{name}.png") as image:
            scale = float(image.info["depth_scale"])
            np.testing.assert_allclose(np.asarray(image) / scale, array, atol=0.51 / scale)
    assert not list((tmp_path / "depth_exr").glob(".*"))


def test_cameras_json(prediction: Prediction, tmp_path: Path) -> None:
    (path,) = export(cropped(prediction), tmp_path, ["cameras"])["cameras"]
    row = json.loads(path.read_text())["frames"][2]
    assert (row["width"], row["height"]) == (120, 44)
    np.testing.assert_allclose(row["K"], _K_in_original(cropped(prediction))[2])


def test_original_size_undoes_crop_pad_and_squash(prediction: Prediction, moving: np.ndarray) -> None:
    """The wall lifted through the mapped-back K and depth is the plane that it was, at every original pixel."""
    shown = cropped(little_prediction(still=True))
    depth, K = depth_in_original(shown, 0), _K_in_original(shown)[0]
    assert depth.shape == (44, 120)
    y, x = np.nonzero(depth)
    assert (x.min(), x.max()) == (10, 105)
    assert (y.min(), y.max()) == (0, 43)
    rays = np.stack((x, y, np.ones_like(x)), -1) @ np.linalg.inv(K).T
    points = rays * depth[y, x, None]
    off = np.abs(points @ [0.25, -0.1, 1.0] - 4.0)
    on_body = np.abs(points[:, 2] - 2.5) < 0.05
    assert on_body.any()
    assert off[~on_body].max() < 0.02
    mask = mask_in_original(shown, moving[0], 0)
    assert mask.shape == (44, 120)
    assert mask.sum() == pytest.approx(3 * moving[0].sum(), rel=0.05)


def test_known_intrinsics_come_back(prediction: Prediction) -> None:
    shown = cropped(prediction)
    K = np.array([[91.0, 0, 61.5], [0, 77.0, 20.25], [0, 0, 1]])
    given = with_intrinsics(shown, K)
    np.testing.assert_allclose(_K_in_original(given)[3], K, atol=1e-5)
    assert given.points is not None
    ray = np.linalg.inv(given.K[0].astype(float)) @ [7, 30, 1]
    np.testing.assert_allclose(given.points[0, 30, 7], ray * shown.depth[0, 30, 7], rtol=1e-5)
    with pytest.raises(UserError, match="positive focal"):
        with_intrinsics(shown, np.diag([-1.0, 1, 1]))


def test_masks_are_white_where_it_moves(prediction: Prediction, moving: np.ndarray, tmp_path: Path) -> None:
    paths = export(prediction, tmp_path, ["masks"], ExportOptions(moving=moving))["masks"]
    np.testing.assert_array_equal(np.asarray(Image.open(paths[1])), moving[1] * np.uint8(255))
    with pytest.raises(UserError, match="--moving"):
        export(prediction, tmp_path, ["masks"])


def test_rerun_recording(prediction: Prediction, moving: np.ndarray, tmp_path: Path) -> None:
    pytest.importorskip("rerun", reason="the rerun format needs the extra 'rerun'")
    from rerun.chunk import RrdReader

    (path,) = export(prediction, tmp_path, ["rerun"], ExportOptions(cloud=ALL, moving=moving))["rerun"]
    # rerun packs together what arrives within milliseconds, so the frames of one thing lie in one part or in several.
    by_frame: dict[str, dict[int, Any]] = {}
    for chunk in RrdReader(path).stream():
        batch = chunk.to_record_batch()
        frames = batch.column("frame").to_pylist() if "frame" in batch.schema.names else [0]
        for name in batch.schema.names:
            if ":" in name:
                values = zip(frames, batch.column(name).to_pylist(), strict=True)
                by_frame.setdefault(f"{chunk.entity_path} {name}", {}).update(values)
    found = {name: [values[frame] for frame in sorted(values)] for name, values in by_frame.items()}
    assert prediction.points is not None
    np.testing.assert_allclose(found["/world/still Points3D:positions"][0], prediction.points[~moving], atol=1e-5)
    pose = np.linalg.inv(np.concatenate((prediction.cam_from_world, np.tile([[[0, 0, 0, 1.0]]], (4, 1, 1))), 1))
    for i in range(4):
        here = found["/world/points Points3D:positions"][i]
        np.testing.assert_allclose(here, prediction.points[i][moving[i]], atol=1e-5)
        np.testing.assert_allclose(found["/world/camera Transform3D:translation"][i][0], pose[i, :3, 3], atol=1e-6)
        turn = np.reshape(found["/world/camera Transform3D:mat3x3"][i][0], (3, 3)).T  # stored by columns
        np.testing.assert_allclose(turn, pose[i, :3, :3], atol=1e-6)
        K = np.reshape(found["/world/camera/image Pinhole:image_from_camera"][i][0], (3, 3)).T
        np.testing.assert_allclose(K - prediction.K[i], [[0, 0, 0.5], [0, 0, 0.5], [0, 0, 0]], atol=1e-4)
        depth = np.array(found["/world/camera/image/depth DepthImage:buffer"][i][0], np.uint8).view(np.float32)
        np.testing.assert_array_equal(depth, prediction.depth[i].ravel())
        image = np.array(found["/world/camera/image Image:buffer"][i][0], np.uint8)
        np.testing.assert_array_equal(image, prediction.images[i].ravel())


def test_padding_and_unsure_pixels_are_no_points(prediction: Prediction) -> None:
    shown = cropped(prediction)
    cloud = cloud_of(shown, ALL)
    rows = -6 + (cloud.pixel[:, 1] + 0.5) * 1.5
    assert rows.min() >= 0
    assert rows.max() <= 44
    # Confidence rises with the column, so dropping a quarter leaves the right three quarters.
    assert cloud_of(prediction, CloudOptions(drop=0.25)).pixel[:, 0].min() == 12


@pytest.mark.parametrize("field", ["depth", "cam_from_world", "K"])
def test_nan_is_refused_by_every_format(prediction: Prediction, tmp_path: Path, field: str) -> None:
    broken = getattr(prediction, field).copy()
    broken[1].flat[3] = np.nan
    for name in FORMATS:
        with pytest.raises(UserError, match=f"{field} of 1 of 4 frames is not finite.*frame_0001"):
            export(replace(prediction, **{field: broken}), tmp_path, [name])
    assert not list(tmp_path.iterdir())


def test_bad_input(prediction: Prediction, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no valid point"):
        export(replace(prediction, depth=np.zeros_like(prediction.depth)), tmp_path, ["ply"])
    with pytest.raises(UserError, match="choose from ply"):
        export(prediction, tmp_path, ["obj"])
    with pytest.raises(UserError, match="cannot write"):
        export(prediction, tmp_path / "missing", ["ply"])
    assert not list(tmp_path.iterdir())


def test_full_disk_leaves_nothing(prediction: Prediction, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        export(prediction, tmp_path, ["ply"])
    assert not list(tmp_path.iterdir())
