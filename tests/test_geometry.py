"""Geometry: closed forms first, scipy as referee, golden numbers of the public code, then properties."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from torch import Tensor

from page4d import geometry as g

GOLDEN = Path(__file__).parent / "golden"
HEIGHT, WIDTH = 7, 11
K = torch.tensor([[9.0, 0.25, 4.5], [0.0, 8.0, 3.75], [0.0, 0.0, 1.0]], dtype=torch.float64)

angles = st.floats(-math.pi, math.pi)
lengths = st.floats(-5.0, 5.0)
seeds = st.integers(0, 2**31 - 1)
relaxed = settings(deadline=None, max_examples=50)


def random_poses(seed: int, *leading: int) -> Tensor:
    """Rigid poses (*leading, 3, 4) in float64 from a seed."""
    rng = np.random.default_rng(seed)
    count = math.prod(leading)
    rotation = Rotation.random(count, random_state=rng).as_matrix()
    pose = np.concatenate((rotation, rng.normal(size=(count, 3, 1))), -1)
    return torch.from_numpy(pose).reshape(*leading, 3, 4)


# --- projection -------------------------------------------------------------------------------------------------


def test_project_closed_form_honours_skew_and_unequal_axes() -> None:
    pixels, z = g.project(torch.tensor([[1.0, 2.0, 4.0]], dtype=torch.float64), K)
    assert pixels.tolist() == [[(9 * 1 + 0.25 * 2) / 4 + 4.5, 8 * 2 / 4 + 3.75]]
    assert z.tolist() == [4.0]


def test_the_principal_pixel_lies_on_the_axis() -> None:
    intrinsics = torch.tensor([[5.0, 0, 3], [0, 6, 2], [0, 0, 1]])
    points = g.unproject(torch.full((5, 7), 2.0), intrinsics)
    assert points[2, 3].tolist() == [0.0, 0.0, 2.0]
    assert points[2, 4].tolist() == pytest.approx([2 / 5, 0, 2])  # right of the axis is +x
    assert points[3, 3].tolist() == pytest.approx([0, 2 / 6, 2])  # below the axis is +y


@relaxed
@given(seed=seeds)
def test_project_undoes_unproject(seed: int) -> None:
    torch.manual_seed(seed)
    depth = torch.rand(2, 3, HEIGHT, WIDTH, dtype=torch.float64) * 10 + 0.05
    intrinsics = K.expand(2, 3, 3, 3)
    pixels, z = g.project(g.unproject(depth, intrinsics).flatten(-3, -2), intrinsics)
    torch.testing.assert_close(
        pixels.reshape(2, 3, HEIGHT, WIDTH, 2), g.pixel_grid(HEIGHT, WIDTH, depth).expand(2, 3, -1, -1, -1)
    )
    torch.testing.assert_close(z.reshape(depth.shape), depth)


def test_a_point_in_the_camera_plane_projects_to_numbers_not_nan() -> None:
    pixels, z = g.project(torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]), torch.eye(3))
    assert z.tolist() == [0.0, 0.0]
    assert not pixels.isnan().any()


@pytest.mark.parametrize("call", [g.unproject, g.project])
def test_leading_axes_that_differ_are_refused(call: object) -> None:
    assert callable(call)
    with pytest.raises(ValueError, match=r"\(2,\) and \(3,\) differ"):
        call(torch.ones(2, 4, 3), torch.eye(3).expand(3, 3, 3))


def test_world_points_match_the_public_unprojection() -> None:
    stored = np.load(GOLDEN / "video_depth_world_z.npz")
    depth, extrinsics, intrinsics = stored["depth"], stored["extrinsics_w2c"], stored["intrinsics"]
    ours = g.world_points(*(torch.from_numpy(a).double() for a in (depth[..., 0], intrinsics, extrinsics)))
    np.testing.assert_allclose(ours.numpy(), stored["world_points"], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("as_torch", [False, True])
def test_vggt_name_and_call_shape_of_unprojection(as_torch: bool) -> None:
    stored = np.load(GOLDEN / "video_depth_world_z.npz")
    arrays = [stored[name] for name in ("depth", "extrinsics_w2c", "intrinsics")]
    points = g.unproject_depth_map_to_point_map(*(map(torch.from_numpy, arrays) if as_torch else arrays))
    assert isinstance(points, np.ndarray)
    assert points.shape == (3, 6, 8, 3)
    np.testing.assert_allclose(points, stored["world_points"], rtol=1e-6, atol=1e-6)
    squeezed = g.unproject_depth_map_to_point_map(arrays[0][..., 0], arrays[1], arrays[2])
    np.testing.assert_array_equal(squeezed, points)


@pytest.mark.parametrize(
    ("depth", "pose", "K", "expected"),
    [
        (np.float32, np.float32, np.float32, np.float32),
        (np.float32, np.float64, np.float32, np.float64),
        (np.float32, np.float32, np.float64, np.float64),
        (np.float64, np.float32, np.float32, np.float64),
        (np.float16, np.float32, np.float32, np.float32),
    ],
)
def test_vggt_unprojection_has_the_widest_type_given(depth: type, pose: type, K: type, expected: type) -> None:
    arrays = np.full((1, 2, 3), 2, depth), np.eye(4)[None, :3].astype(pose), np.eye(3)[None].astype(K)
    points = g.unproject_depth_map_to_point_map(*arrays)
    assert points.dtype == expected
    np.testing.assert_array_equal(points[0, 1, 2], [4, 2, 2])


def test_vggt_unprojection_refuses_another_frame_count() -> None:
    with pytest.raises(ValueError, match="differ"):
        g.unproject_depth_map_to_point_map(np.ones((3, 4, 5, 1)), np.zeros((2, 3, 4)), np.ones((3, 3, 3)))
    with pytest.raises(ValueError, match="depth_map has shape"):
        g.unproject_depth_map_to_point_map(np.ones((4, 5)), np.zeros((2, 3, 4)), np.ones((3, 3, 3)))


# --- rigid motions ----------------------------------------------------------------------------------------------


@relaxed
@given(seed=seeds)
def test_invert_and_compose_agree_with_4x4_algebra(seed: int) -> None:
    a, b = random_poses(seed, 2, 3), random_poses(seed + 1, 2, 3)
    torch.testing.assert_close(g.to_4x4(g.compose(a, b)), g.to_4x4(a) @ g.to_4x4(b))
    torch.testing.assert_close(g.to_4x4(g.invert(a)), torch.linalg.inv(g.to_4x4(a)))
    points = torch.randn(2, 3, 5, 3, dtype=torch.float64)
    torch.testing.assert_close(g.transform(g.compose(a, b), points), g.transform(a, g.transform(b, points)))
    torch.testing.assert_close(g.transform(g.invert(a), g.transform(a, points)), points)


def test_camera_centre_is_minus_rt_t() -> None:
    quarter_turn_about_z = torch.tensor([[0.0, -1, 0, 1], [1, 0, 0, 2], [0, 0, 1, 3]])
    assert g.invert(quarter_turn_about_z)[:, 3].tolist() == [-2.0, 1.0, -3.0]


def test_relative_to_first_keeps_relative_motion() -> None:
    poses = random_poses(4, 2, 6)
    relative = g.relative_to_first(poses)
    identity = torch.eye(4, dtype=torch.float64)[:3].expand(2, 3, 4)
    torch.testing.assert_close(relative[:, 0], identity, atol=1e-12, rtol=0)
    torch.testing.assert_close(
        g.compose(relative[:, 4], g.invert(relative[:, 2])), g.compose(poses[:, 4], g.invert(poses[:, 2]))
    )


def test_poses_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected \(\*, 3, 4\)"):
        g.to_4x4(torch.eye(3))
    with pytest.raises(ValueError, match=r"expected \(\*, 3, 4\)"):
        g.invert(torch.eye(3))


@pytest.mark.parametrize("rows", [3, 4])
@pytest.mark.parametrize("as_torch", [False, True])
def test_closed_form_inverse_se3_keeps_the_kind_of_array(rows: int, as_torch: bool) -> None:
    pose = g.to_4x4(random_poses(8, 5))
    given_pose = pose[:, :rows] if as_torch else pose[:, :rows].numpy()
    inverse = g.closed_form_inverse_se3(given_pose)
    assert isinstance(inverse, Tensor) == as_torch
    np.testing.assert_allclose(np.asarray(inverse), np.linalg.inv(pose.numpy()), atol=1e-12)


# --- rotations --------------------------------------------------------------------------------------------------

AXIS_FLIPS = [torch.diag(torch.tensor(signs, dtype=torch.float64)) for signs in ([1, -1, -1], [-1, 1, -1], [-1, -1, 1])]


@pytest.mark.parametrize("flip", AXIS_FLIPS, ids=["about_x", "about_y", "about_z"])
def test_half_turns_about_the_axes_are_exact(flip: Tensor) -> None:
    quaternion = g.matrix_to_quaternion(flip)
    assert sorted(quaternion.abs().tolist()) == [0.0, 0.0, 0.0, 1.0]
    assert torch.equal(g.quaternion_to_matrix(quaternion), flip)
    assert g.rotation_angle_deg(flip).item() == 180.0


@relaxed
@given(x=lengths, y=lengths, z=lengths, angle=angles)
def test_quaternions_agree_with_scipy(x: float, y: float, z: float, angle: float) -> None:
    axis = np.array([x, y, z]) + np.array([1e-3, 0, 0])
    if np.linalg.norm(axis) < 1e-6:
        return
    referee = Rotation.from_rotvec(axis / np.linalg.norm(axis) * angle)
    matrix = torch.from_numpy(referee.as_matrix())
    ours, theirs = g.matrix_to_quaternion(matrix).numpy(), referee.as_quat(canonical=True)
    assert abs(abs(ours @ theirs) - 1) < 1e-12
    assert ours[3] >= 0
    np.testing.assert_allclose(g.quaternion_to_matrix(torch.from_numpy(ours)), matrix, atol=1e-12)
    assert g.rotation_angle_deg(matrix).item() == pytest.approx(math.degrees(referee.magnitude()), abs=1e-5)


@relaxed
@given(seed=seeds, short_of_180_deg=st.floats(0, 1e-3))
def test_near_half_turns_survive_float32(seed: int, short_of_180_deg: float) -> None:
    axis = np.random.default_rng(seed).normal(size=3)
    rotation = Rotation.from_rotvec(axis / np.linalg.norm(axis) * math.radians(180 - short_of_180_deg))
    matrix = torch.from_numpy(rotation.as_matrix()).float()
    back = g.quaternion_to_matrix(g.matrix_to_quaternion(matrix))
    torch.testing.assert_close(back, matrix, atol=2e-6, rtol=0)
    assert g.rotation_angle_deg(matrix).item() == pytest.approx(180 - short_of_180_deg, abs=2e-4)


@pytest.mark.parametrize("angle_deg", [0.0, 1e-6, 1e-3, 30.0, 90.0, 179.999, 179.999999, 180.0])
def test_angles_keep_their_accuracy_at_both_ends(angle_deg: float) -> None:
    matrix = torch.from_numpy(Rotation.from_euler("y", angle_deg, degrees=True).as_matrix())
    assert g.rotation_angle_deg(matrix).item() == pytest.approx(angle_deg, abs=1e-9)


@relaxed
@given(seed=seeds, length=st.floats(1e-3, 1e3))
def test_a_quaternion_of_any_length_is_a_rotation(seed: int, length: float) -> None:
    quaternion = torch.from_numpy(np.random.default_rng(seed).normal(size=4))
    matrix = g.quaternion_to_matrix(quaternion * length)
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(3, dtype=torch.float64))
    np.testing.assert_allclose(matrix, Rotation.from_quat(quaternion.numpy()).as_matrix(), atol=1e-10)


def test_quaternion_gradients_are_finite_everywhere_a_rotation_can_be() -> None:
    corners = [torch.eye(3, dtype=torch.float64), *AXIS_FLIPS]
    rotation = torch.stack(corners).requires_grad_()
    g.matrix_to_quaternion(rotation).sum().backward()
    assert rotation.grad is not None
    assert rotation.grad.isfinite().all()


# --- pose encoding ----------------------------------------------------------------------------------------------


def test_golden_pose_encoding() -> None:
    stored = np.load(GOLDEN / "pose_encoding.npz")
    size = (int(stored["image_hw"][0]), int(stored["image_hw"][1]))
    extrinsics, intrinsics = (torch.from_numpy(stored[n]) for n in ("extrinsics", "intrinsics"))
    encoding = g.extri_intri_to_pose_encoding(extrinsics, intrinsics, size)
    theirs = torch.from_numpy(stored["encoding"]).float()
    # q and -q are one rotation; at exactly 180 degrees the sign is a matter of taste
    sign = torch.sign((encoding[..., 3:7] * theirs[..., 3:7]).sum(-1, keepdim=True))
    torch.testing.assert_close(encoding[..., 3:7] * sign, theirs[..., 3:7], rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(encoding[..., [0, 1, 2, 7, 8]], theirs[..., [0, 1, 2, 7, 8]], rtol=1e-5, atol=1e-6)
    decoded, decoded_intrinsics = g.pose_encoding_to_extri_intri(theirs, size)
    torch.testing.assert_close(decoded, torch.from_numpy(stored["decoded_extrinsics"]).float(), rtol=1e-5, atol=2e-6)
    assert decoded_intrinsics is not None
    torch.testing.assert_close(
        decoded_intrinsics, torch.from_numpy(stored["decoded_intrinsics"]).float(), rtol=1e-5, atol=1e-3
    )
    assert decoded_intrinsics[0, 0, :2, 2].tolist() == [259.0, 140.0]


def test_golden_unnormalised_quaternions() -> None:
    stored = np.load(GOLDEN / "pose_encoding.npz")
    ours = g.quaternion_to_matrix(torch.from_numpy(stored["unnormalised_quat_xyzw"]))
    np.testing.assert_allclose(ours, stored["unnormalised_quat_to_mat"], rtol=1e-6, atol=1e-6)


def test_encoding_closed_form() -> None:
    pose = torch.tensor([[1.0, 0, 0, 0.5], [0, 1, 0, -1], [0, 0, 1, 2]])
    intrinsics = torch.tensor([[50.0, 0, 0], [0, 30, 0], [0, 0, 1]])
    encoding = g.extri_intri_to_pose_encoding(pose, intrinsics, (60, 100))
    assert encoding.tolist() == pytest.approx([0.5, -1, 2, 0, 0, 0, 1, math.pi / 2, math.pi / 2])


@relaxed
@given(seed=seeds, fx=st.floats(50, 900), fy=st.floats(50, 900))
def test_encoding_round_trip(seed: int, fx: float, fy: float) -> None:
    pose = random_poses(seed, 2, 3).float()
    intrinsics = torch.tensor([[fx, 0, 60], [0, fy, 40], [0, 0, 1]]).expand(2, 3, 3, 3)
    encoding = g.extri_intri_to_pose_encoding(pose, intrinsics, (80, 120))
    back, back_intrinsics = g.pose_encoding_to_extri_intri(encoding, (80, 120))
    torch.testing.assert_close(back, pose, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(back_intrinsics, intrinsics, atol=1e-3, rtol=1e-4)


def test_decoding_without_intrinsics() -> None:
    encoding = torch.tensor([[0.0, 0, 0, 0, 0, 0, 1, 1, 1]])
    assert g.pose_encoding_to_extri_intri(encoding, (8, 8), build_intrinsics=False)[1] is None


# --- resizing ---------------------------------------------------------------------------------------------------


def test_resize_keeps_the_image_centre_in_the_centre() -> None:
    centred = torch.tensor([[100.0, 0, (640 - 1) / 2], [0, 100, (480 - 1) / 2], [0, 0, 1]])
    resized = g.resize_intrinsics(centred, 518 / 640, 392 / 480)
    assert resized[0, 2].item() == pytest.approx((518 - 1) / 2)
    assert resized[1, 2].item() == pytest.approx((392 - 1) / 2)
    assert centred[0, 2].item() == 319.5  # the input is left alone


@relaxed
@given(seed=seeds, scale_x=st.floats(0.2, 3.0), scale_y=st.floats(0.2, 3.0))
def test_resized_intrinsics_project_to_resized_pixels(seed: int, scale_x: float, scale_y: float) -> None:
    points = torch.from_numpy(np.random.default_rng(seed).normal(size=(9, 3))) + torch.tensor([0, 0, 5.0])
    before, _ = g.project(points, K)
    after, _ = g.project(points, g.resize_intrinsics(K, scale_x, scale_y))
    expected = (before + 0.5) * torch.tensor([scale_x, scale_y], dtype=torch.float64) - 0.5
    torch.testing.assert_close(after, expected)


# --- similarity -------------------------------------------------------------------------------------------------


@relaxed
@given(seed=seeds, scale=st.floats(0.01, 50.0), dtype=st.sampled_from([torch.float32, torch.float64]))
def test_fit_recovers_the_similarity_that_made_the_points(seed: int, scale: float, dtype: torch.dtype) -> None:
    source = torch.from_numpy(np.random.default_rng(seed).normal(size=(2, 12, 3))).to(dtype)
    pose = random_poses(seed, 2).to(dtype)
    made = g.Similarity(torch.full((2,), scale, dtype=dtype), pose[:, :, :3], pose[:, :, 3])
    fitted = g.fit_similarity(source, made.apply(source))
    tolerance = 1e-8 if dtype == torch.float64 else 2e-4
    assert fitted.rotation.dtype == dtype
    torch.testing.assert_close(fitted.rotation, made.rotation, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(fitted.scale, made.scale, atol=0, rtol=tolerance)
    torch.testing.assert_close(fitted.apply(source), made.apply(source), atol=tolerance * (1 + scale), rtol=tolerance)


def test_fit_agrees_with_scipy_without_scale() -> None:
    rng = np.random.default_rng(0)
    source, target = rng.normal(size=(20, 3)), rng.normal(size=(20, 3))
    referee, _ = Rotation.align_vectors(target - target.mean(0), source - source.mean(0))
    fitted = g.fit_similarity(torch.from_numpy(source), torch.from_numpy(target), with_scale=False)
    np.testing.assert_allclose(fitted.rotation, referee.as_matrix(), atol=1e-8)
    assert fitted.scale.item() == 1.0


def test_a_mirrored_cloud_is_fitted_by_a_proper_rotation() -> None:
    source = torch.randn(30, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    fitted = g.fit_similarity(source, source * torch.tensor([-1.0, 1.0, 1.0]))
    assert torch.linalg.det(fitted.rotation).item() == pytest.approx(1.0)
    mirrored_residual = (fitted.apply(source) - source * torch.tensor([-1.0, 1.0, 1.0])).square().sum()
    others = [
        g.Similarity(fitted.scale, random_poses(seed, 1)[0, :, :3], fitted.translation).apply(source)
        for seed in range(50)
    ]
    residuals = [(o - source * torch.tensor([-1.0, 1.0, 1.0])).square().sum() for o in others]
    assert mirrored_residual < min(residuals)


def test_points_in_a_plane_still_determine_the_rotation() -> None:
    source = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 2, 0]], dtype=torch.float64)
    pose = random_poses(3, 1)[0]
    fitted = g.fit_similarity(source, 2 * source @ pose[:, :3].T + pose[:, 3])
    torch.testing.assert_close(fitted.rotation, pose[:, :3])
    assert fitted.scale.item() == pytest.approx(2.0)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_points_on_a_line_are_refused(dtype: torch.dtype, offset: float) -> None:
    line = torch.linspace(0, 1, 9, dtype=dtype)[:, None] * torch.tensor([0.3, 0.7, -0.2], dtype=dtype) + offset
    with pytest.raises(ValueError, match="on one line"):
        g.fit_similarity(line, 2 * line)
    with pytest.raises(ValueError, match="on one line"):
        g.fit_similarity(torch.ones(4, 3), torch.ones(4, 3))


def test_fit_refuses_other_shapes_and_values() -> None:
    with pytest.raises(ValueError, match="expected equal"):
        g.fit_similarity(torch.ones(4, 3), torch.ones(5, 3))
    with pytest.raises(ValueError, match="expected at least 3 points"):
        g.fit_similarity(torch.eye(3)[:2], torch.eye(3)[:2])
    with pytest.raises(ValueError, match="not finite"):
        g.fit_similarity(torch.eye(3), torch.full((3, 3), math.nan))


def test_similarity_residual_is_what_the_fitted_similarity_leaves() -> None:
    generator = torch.Generator().manual_seed(0)
    true = torch.randn(5, 6, 3, generator=generator, dtype=torch.float64)
    predicted = 3 * true + 0.3 * torch.randn(5, 6, 3, generator=generator, dtype=torch.float64)
    predicted[1] = true[1] * torch.tensor([-1.0, 1, 1])  # a mirrored path is no similarity
    fitted = g.fit_similarity(predicted, true).apply(predicted)
    expected = (fitted - true).square().sum(-1).mean(-1).sqrt()
    torch.testing.assert_close(g.similarity_residual(predicted, true), expected, rtol=1e-6, atol=1e-9)
    spread = (true - true.mean(1, keepdim=True)).square().sum(-1).mean(-1).sqrt()
    torch.testing.assert_close(g.similarity_residual(torch.zeros_like(true), true), spread)


def test_similarity_residual_of_straight_and_motionless_paths() -> None:
    line = torch.arange(4.0, dtype=torch.float64)[None, :, None] * torch.tensor([1.0, 2, 3], dtype=torch.float64)
    still = torch.zeros_like(line)
    assert g.similarity_residual(2 * line, line).item() == pytest.approx(0, abs=1e-7)
    spread = (line - line.mean(1, keepdim=True)).square().sum(-1).mean(-1).sqrt()
    assert g.similarity_residual(still, line).item() == pytest.approx(spread.item()), "one point can only be the middle"
    assert g.similarity_residual(line, still).item() == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("weights", [[-1.0, 1, 1, 1], [torch.nan, 1, 1, 1], [torch.inf, 1, 1, 1], [0.0] * 4, [1.0] * 3])
def test_weights_that_cannot_weigh_are_refused(weights: list[float]) -> None:
    points = torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]], dtype=torch.float64)
    with pytest.raises(ValueError, match="weights"):
        g.fit_similarity(points, points, weights=torch.tensor(weights))
