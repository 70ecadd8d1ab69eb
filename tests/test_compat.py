"""`page4d.compat`: each name that VGGT's users import against its closed form."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.spatial.transform import Rotation
from torch import Tensor

import page4d
from page4d import compat
from page4d.compat import VGGT, closed_form_inverse_se3

H, W = 5, 7
SMALL = {"embed_dim": 32, "depth": 4, "num_heads": 2, "patch_embed": "conv", "dpt_features": 8}
SMALL |= {"dpt_channels": (8, 8, 8, 8), "dpt_pairs": (0, 1, 2, 3), "mask_source": 1, "masked_pairs": (2,)}
SMALL |= {"camera_heads": 2, "camera_trunk_depth": 1, "enable_track": False}


@pytest.fixture
def K() -> Tensor:
    return torch.tensor([[[90.0, 0, 3.2], [0, 80, 1.9], [0, 0, 1]], [[70, 0, 3.0], [0, 75, 2.5], [0, 0, 1]]]).double()


@pytest.fixture
def poses() -> Tensor:
    turns = Rotation.from_euler("xyz", [[0.1, -0.2, 0.3], [0.5, 0.1, -0.2]]).as_matrix()
    return torch.cat((torch.from_numpy(turns), torch.tensor([[[0.1], [0.2], [0.3]], [[-1.0], [0.5], [2.0]]])), -1)


def test_every_name_is_offered() -> None:
    for name in compat.__all__:
        assert callable(getattr(compat, name))
    assert {name for name in page4d.__all__ if name in compat.__all__} >= {"pose_encoding_to_extri_intri"}


def test_vggt_is_page4d_with_sizes_by_position() -> None:
    model = VGGT(28, 7, **SMALL)
    assert isinstance(model, page4d.PAGE4D)
    assert (model.config.img_size, model.config.patch_size, model.config.mask_hold_end) == (28, 7, 0)
    with torch.device("meta"):
        full = VGGT()
    assert full.config == page4d.PAGE4DConfig()
    assert VGGT.from_pretrained("tiny").config == page4d.PAGE4D.from_pretrained("tiny").config


def test_quaternions_are_scalar_last() -> None:
    quaternions = torch.tensor([[0.0, 0, 0, 1], [1, 0, 0, 0], [0.1, -0.2, 0.3, -0.4]]).double()
    expected = Rotation.from_quat(quaternions.numpy()).as_matrix()
    matrices = compat.quat_to_mat(quaternions)
    np.testing.assert_allclose(matrices.numpy(), expected, atol=1e-12)
    back = compat.mat_to_quat(matrices)
    assert (back[:, 3] >= 0).all()
    np.testing.assert_allclose(compat.quat_to_mat(back).numpy(), expected, atol=1e-12)


def test_inverse_of_poses_and_its_given_parts(poses: Tensor) -> None:
    homogeneous = torch.cat((poses, torch.tensor([[[0.0, 0, 0, 1]]]).expand(2, 1, 4)), 1)
    expected = torch.linalg.inv(homogeneous)
    torch.testing.assert_close(closed_form_inverse_se3(poses), expected)
    torch.testing.assert_close(closed_form_inverse_se3(homogeneous), expected)
    given = closed_form_inverse_se3(torch.zeros(2, 3, 4), R=poses[:, :, :3], T=poses[:, :, 3:])
    torch.testing.assert_close(given, expected)
    as_numpy = closed_form_inverse_se3(homogeneous.numpy(), R=poses[:, :, :3].numpy())
    assert isinstance(as_numpy, np.ndarray)
    np.testing.assert_allclose(as_numpy, expected.numpy())


def test_points_of_a_depth_map(K: Tensor, poses: Tensor) -> None:
    depth = np.random.default_rng(0).uniform(1, 3, (H, W)).astype(np.float32)
    depth[1, 2] = 0
    k, pose = K[0].numpy(), poses[0].numpy()
    x, y = np.meshgrid(np.arange(W), np.arange(H))
    expected = np.stack(((x - 3.2) / 90 * depth, (y - 1.9) / 80 * depth, depth), -1)
    in_camera = compat.depth_to_cam_coords_points(depth, k)
    assert in_camera.dtype == np.float32
    np.testing.assert_allclose(in_camera, expected, rtol=1e-6)
    in_world, again, valid = compat.depth_to_world_coords_points(depth, pose, k)
    assert again is not None
    assert valid is not None
    np.testing.assert_array_equal(again, in_camera)
    np.testing.assert_allclose(in_world, (expected - pose[:, 3]) @ pose[:, :3], rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(valid, depth > 1e-8)
    for kind in (np.float32, np.float64):
        found, *_ = compat.depth_to_world_coords_points(depth, pose.astype(kind), k)
        assert found is not None
        assert found.dtype == kind
    assert compat.depth_to_world_coords_points(None, pose, k) == (None, None, None)
    with pytest.raises(ValueError, match="without skew"):
        compat.depth_to_cam_coords_points(depth, k + np.array([[0, 1, 0], [0, 0, 0], [0, 0, 0]]))


def test_projection_into_every_camera(K: Tensor, poses: Tensor) -> None:
    points = torch.from_numpy(np.random.default_rng(0).uniform((0, 0, 4), (1, 1, 5), (11, 3)))
    pixels, in_cameras = compat.project_world_points_to_cam(points, poses, K)
    assert pixels is not None
    assert pixels.shape == (2, 11, 2)
    assert in_cameras.shape == (2, 3, 11)
    for b in range(2):
        local = points.numpy() @ poses[b, :, :3].numpy().T + poses[b, :, 3].numpy()
        homogeneous = local @ K[b].numpy().T
        np.testing.assert_allclose(in_cameras[b].numpy().T, local)
        np.testing.assert_allclose(pixels[b].numpy(), homogeneous[:, :2] / homogeneous[:, 2:])
    nothing, alone = compat.project_world_points_to_cam(points, poses, only_points_cam=True)
    assert nothing is None
    torch.testing.assert_close(alone, in_cameras)
    with pytest.raises(ValueError, match="pixels need intrinsics"):
        compat.project_world_points_to_cam(points, poses)
    torch.testing.assert_close(compat.cam_from_img(pixels, K), (in_cameras[:, :2] / in_cameras[:, 2:]).mT)


def test_a_point_in_the_cameras_plane_takes_the_default(K: Tensor) -> None:
    pixels = compat.img_from_cam(K[:1], torch.zeros(1, 3, 1, dtype=torch.float64), default=-7.0)
    assert pixels.tolist() == [[[-7.0, -7.0]]]


@pytest.mark.parametrize("parameters", [[0.1], [0.1, -0.02], [0.1, -0.02, 0.003, -0.004]])
def test_distortion_is_colmaps_and_is_undone(K: Tensor, parameters: list[float]) -> None:
    u, v = 0.3, -0.2
    k1, k2, p1, p2 = (*parameters, 0.0, 0.0, 0.0)[:4]
    r2 = u * u + v * v
    radial = 1 + k1 * r2 + k2 * r2 * r2
    du, dv = 2 * p1 * u * v + p2 * (r2 + 2 * u * u), 2 * p2 * u * v + p1 * (r2 + 2 * v * v)
    expected = np.array((u * radial + du, v * radial + dv))
    lens = torch.tensor([parameters]).double()
    point = torch.tensor([[[2 * u], [2 * v], [2.0]]]).double()
    pixels = compat.img_from_cam(K[:1], point, lens)
    np.testing.assert_allclose(pixels[0, 0].numpy(), expected * (90, 80) + np.array((3.2, 1.9)))
    np.testing.assert_allclose(compat.cam_from_img(pixels, K[:1], lens)[0, 0].numpy(), [u, v], atol=1e-9)


@pytest.mark.parametrize("parameters", [[0.1], [0.1, -0.02], [0.1, -0.02, 0.003, -0.004]])
def test_a_lens_is_put_on_and_taken_off(parameters: list[float]) -> None:
    points = torch.rand(2, 7, 2, generator=torch.Generator().manual_seed(0)).double() - 0.5
    lenses = torch.tensor([parameters, [0.0] * len(parameters)]).double()
    shown = torch.stack(compat.apply_distortion(lenses, points[..., 0], points[..., 1]), -1)
    torch.testing.assert_close(shown[1], points[1])
    assert (shown[0] - points[0]).abs().max() > 1e-3
    torch.testing.assert_close(compat.single_undistortion(lenses, points), shown)
    torch.testing.assert_close(compat.iterative_undistortion(lenses, shown), points, rtol=0, atol=1e-9)
    once = compat.iterative_undistortion(lenses, shown, max_iterations=1)
    assert 1e-9 < float((once - points).abs().max()) < 1e-2


def test_of_two_quaternions_of_one_rotation_the_real_part_decides() -> None:
    quaternions = torch.tensor([[0.1, 0.2, 0.3, -0.4], [0.1, 0.2, 0.3, 0.4], [1.0, 0.0, 0.0, 0.0]])
    expected = torch.tensor([[-0.1, -0.2, -0.3, 0.4], [0.1, 0.2, 0.3, 0.4], [1.0, 0.0, 0.0, 0.0]])
    assert torch.equal(compat.standardize_quaternion(quaternions), expected)


def test_distortion_of_an_unknown_lens_is_refused(K: Tensor) -> None:
    with pytest.raises(ValueError, match="3 distortion parameters; expected 1"):
        compat.img_from_cam(K[:1], torch.ones(1, 3, 1).double(), torch.zeros(1, 3).double())


def test_a_mask_is_thinned_and_seeded_by_numpy() -> None:
    mask = np.random.default_rng(0).random((6, 8)) < 0.5
    np.random.seed(3)
    thin = compat.randomly_limit_trues(mask, 5)
    np.random.seed(3)
    np.testing.assert_array_equal(thin, compat.randomly_limit_trues(mask, 5))
    assert thin.sum() == 5
    assert (mask | ~thin).all()
    np.testing.assert_array_equal(compat.randomly_limit_trues(mask, 1000), mask)


def test_the_pixel_grid_holds_x_y_and_the_frame() -> None:
    grid = compat.create_pixel_coordinate_grid(2, H, W)
    assert grid.shape == (2, H, W, 3)
    assert grid.dtype == np.float32
    assert grid[1, 3, 4].tolist() == [4, 3, 1]


@pytest.mark.parametrize(("mode", "dark"), [("[0,1]", 0.0), ("[-1,1]", -1.0), (None, 0.0)])
def test_tracks_are_drawn_where_they_are(tmp_path: Path, mode: str | None, dark: float) -> None:
    images = torch.full((1, 3, 3, 40, 60), dark)
    tracks = torch.tensor([[[10.0, 8.0], [50, 30]]] * 3)[None]
    visible = torch.ones(1, 3, 2)
    visible[0, 1, 0] = 0
    compat.visualize_tracks_on_images(images, tracks, visible, tmp_path, normalization_mode=mode, frames_per_row=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == [*(f"frame_000{i}.png" for i in range(3)), "tracks_grid.png"]
    first, second = (np.asarray(Image.open(tmp_path / f"frame_000{i}.png")) for i in range(2))
    assert first[8, 10].max() == 255
    assert first[30, 50].max() == 255
    assert first[20, 30].tolist() == [0, 0, 0]
    assert second[8, 10].tolist() == [0, 0, 0]
    assert (first[8, 10] != first[30, 50]).any()
    grid = np.asarray(Image.open(tmp_path / "tracks_grid.png"))
    assert grid.shape == (80, 120, 3)
    np.testing.assert_array_equal(grid[:40, 60:], second)
    assert grid[40:, 60:].max() == 0


def test_pictures_of_another_kind_are_refused() -> None:
    with pytest.raises(ValueError, match="expected CHW or HWC"):
        compat.visualize_tracks_on_images(torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 2), image_format="BGR")


@pytest.mark.parametrize("shared", [False, True])
def test_a_colmap_model_of_single_sightings(K: Tensor, poses: Tensor, shared: bool) -> None:
    pytest.importorskip("pycolmap", reason="needs the extra 'colmap'")
    points = np.arange(12.0).reshape(4, 3)
    xyf = np.array([[1, 2, 0], [3, 4, 1], [5, 6, 1], [0, 1, 0]], np.float32)
    rgb = np.arange(12, dtype=np.uint8).reshape(4, 3)
    made = compat.batch_np_matrix_to_pycolmap_wo_track(
        points, xyf, rgb, poses.numpy(), K.numpy(), (W, H), shared_camera=shared, camera_type="PINHOLE"
    )
    assert len(made.cameras) == (1 if shared else 2)
    assert made.cameras[1].params.tolist() == pytest.approx([90, 80, 3.2, 1.9])
    assert (made.cameras[1].width, made.cameras[1].height) == (W, H)
    assert {image.name for image in made.images.values()} == {"image_1", "image_2"}
    np.testing.assert_allclose(made.images[2].cam_from_world().matrix(), poses[1].numpy(), atol=1e-12)
    assert [list(p.xy) for p in made.images[2].points2D] == [[3, 4], [5, 6]]
    (sighting,) = made.points3D[made.images[2].points2D[1].point3D_id].track.elements
    assert (sighting.image_id, sighting.point2D_idx) == (2, 1)
    found = {tuple(p.xyz): tuple(p.color) for p in made.points3D.values()}
    assert found == {tuple(p): tuple(c) for p, c in zip(points.tolist(), rgb.tolist(), strict=True)}


def test_a_colmap_model_of_tracks_keeps_what_two_frames_see(K: Tensor, poses: Tensor) -> None:
    pytest.importorskip("pycolmap", reason="needs the extra 'colmap'")
    points = np.random.default_rng(0).uniform((-0.1, -0.1, 3.9), (0.1, 0.1, 4.1), (6, 3))
    pixels, _ = compat.project_world_points_to_cam(torch.from_numpy(points), poses, K)
    assert pixels is not None
    tracks = pixels.numpy().copy()
    tracks[1, 2] += 30  # too far from where the point is
    masks = np.ones((2, 6), bool)
    masks[0, 4] = False
    words = (points, poses.numpy(), K.numpy(), tracks, (W, H))
    made, valid = compat.batch_np_matrix_to_pycolmap(
        *words, masks, 8.0, camera_type="SIMPLE_RADIAL", extra_params=np.full((2, 1), 0.1), min_inlier_per_frame=3
    )
    assert made is not None
    assert valid is not None
    assert valid.tolist() == [True, True, False, True, False, True]
    assert made.cameras[1].params.tolist() == pytest.approx([85, 3.2, 1.9, 0.1])
    assert all(point.track.length() == 2 for point in made.points3D.values())
    assert compat.batch_np_matrix_to_pycolmap(*words, masks, 8.0, min_inlier_per_frame=6) == (None, None)
    with pytest.raises(ValueError, match="nothing says which sightings are good"):
        compat.batch_np_matrix_to_pycolmap(*words)
    with pytest.raises(ValueError, match="camera_type is 'FISHEYE'; expected one of PINHOLE"):
        compat.batch_np_matrix_to_pycolmap(*words, masks, camera_type="FISHEYE", min_inlier_per_frame=1)
