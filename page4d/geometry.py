"""SE(3), quaternions, the pose encoding, projection and Sim(3): pure functions on tensors.

Frame:   OpenCV axes (x right, y down, z forward); pixel (0, 0) is centred at (0, 0); poses are camera from world,
         `[R | t]`; quaternions are x, y, z, w.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from page4d.given import as_real_tensor

__all__ = [
    "POSE_ENCODING", "Similarity", "camera_centres", "closed_form_inverse_se3", "compose",
    "extri_intri_to_pose_encoding",
    "fit_similarity", "invert", "matrix_to_quaternion", "pixel_grid", "pose_encoding_to_extri_intri", "project",
    "quaternion_to_matrix", "relative_to_first", "resize_intrinsics", "rotation_angle_deg", "to_4x4", "transform",
    "unproject", "unproject_depth_map_to_point_map", "world_points",
]  # fmt: skip

OPENGL_AXES = (1.0, -1.0, -1.0)
"""Signs between OpenCV's axes (x right, y down, z forward) and OpenGL's (x right, y up, z backward), either way."""


def _same_leading(first: Tensor, n_first: int, second: Tensor, n_second: int, names: str) -> None:
    a, b = first.shape[: first.ndim - n_first], second.shape[: second.ndim - n_second]
    if a != b:
        raise ValueError(f"{names}: leading axes {tuple(a)} and {tuple(b)} differ; they must match")


def pixel_grid(height: int, width: int, like: Tensor) -> Tensor:
    """Pixel coordinates (x, y) of every pixel centre: (H, W, 2), in the dtype and on the device of `like`."""
    rows = torch.arange(height, dtype=like.dtype, device=like.device)
    columns = torch.arange(width, dtype=like.dtype, device=like.device)
    y, x = torch.meshgrid(rows, columns, indexing="ij")
    return torch.stack((x, y), -1)


def unproject(depth: Tensor, K: Tensor) -> Tensor:
    """Lift depth maps to points in the camera frame.

    Shapes:  depth (*, H, W), K (*, 3, 3) -> (*, H, W, 3); leading axes match.
    Units:   depth is z in scene units, not ray length; K in pixels, skew is honoured.
    Frame:   OpenCV; pixel (0, 0) is centred at (0, 0).
    Raises:  ValueError if the leading axes differ.
    Source:  Hartley & Zisserman (2004), section 6.1.
    """
    _same_leading(depth, 2, K, 2, "unproject(depth, K)")
    return _lift(pixel_grid(depth.shape[-2], depth.shape[-1], like=depth), depth, K[..., None, None, :, :])


def unproject_pixels(pixels: Tensor, depth: Tensor, K: Tensor) -> Tensor:
    """Lift single pixels to points in the camera frame, as `unproject` lifts all of a map.

    Shapes:  pixels (*, N, 2) as (x, y), depth (*, N), K (*, 3, 3) -> (*, N, 3).
    Raises:  ValueError if the leading axes differ.
    """
    _same_leading(depth, 1, K, 2, "unproject_pixels(pixels, depth, K)")
    return _lift(pixels, depth, K[..., None, :, :])


def _lift(xy: Tensor, depth: Tensor, K: Tensor) -> Tensor:
    fx, skew, cx = K[..., 0, :].unbind(-1)
    fy, cy = K[..., 1, 1], K[..., 1, 2]
    v = (xy[..., 1] - cy) / fy
    # Skew shears x by y, so the ray's y comes first.
    u = (xy[..., 0] - cx - skew * v) / fx
    return torch.stack((u * depth, v * depth, depth), -1)


def project(points: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """Project camera-frame points to pixels.

    Shapes:  points (*, N, 3), K (*, 3, 3) -> pixels (*, N, 2) as (x, y), z (*, N).
    Note:    pixels of points with z <= 0 are meaningless; the caller masks them by z.
    Raises:  ValueError if the leading axes differ.
    """
    _same_leading(points, 2, K, 2, "project(points, K)")
    homogeneous = points @ K.mT
    z = homogeneous[..., 2]
    # A point in the camera's plane has no pixel; a large one keeps the gradient finite until the caller masks it.
    divisor = torch.where(z == 0, torch.full_like(z, 1e-12), z)
    return homogeneous[..., :2] / divisor[..., None], z


def transform(pose: Tensor, points: Tensor) -> Tensor:
    """Apply `[R | t]` to points: pose (*, 3 or 4, 4), points (*, N, 3) -> (*, N, 3)."""
    _same_leading(points, 2, pose, 2, "transform(points, pose)")
    return points @ pose[..., :3, :3].mT + pose[..., None, :3, 3]


def _check_pose(pose: Tensor) -> None:
    if pose.shape[-2:] not in ((3, 4), (4, 4)):
        raise ValueError(f"pose has shape {tuple(pose.shape)}, expected (*, 3, 4) or (*, 4, 4)")


def to_4x4(pose: Tensor) -> Tensor:
    """Append the row 0 0 0 1 to (*, 3, 4); a (*, 4, 4) passes through."""
    _check_pose(pose)
    if pose.shape[-2:] == (4, 4):
        return pose
    # Made on the pose's device: numbers brought from the host would make a GPU wait.
    zeros = pose.new_zeros(*pose.shape[:-2], 1, 3)
    one = pose.new_ones(*pose.shape[:-2], 1, 1)
    row = torch.cat((zeros, one), -1)
    return torch.cat((pose, row), -2)


def invert(pose: Tensor) -> Tensor:
    """Inverse of a rigid transform, `[R^T | -R^T t]`: (*, 3 or 4, 4) -> (*, 3, 4)."""
    _check_pose(pose)
    rotation = pose[..., :3, :3].mT
    return torch.cat((rotation, -rotation @ pose[..., :3, 3:]), -1)


def compose(a_from_b: Tensor, b_from_c: Tensor) -> Tensor:
    """`a_from_c`: (*, 3 or 4, 4) twice -> (*, 3, 4)."""
    return a_from_b[..., :3, :] @ to_4x4(b_from_c)


def camera_centres(cam_from_world: Tensor) -> Tensor:
    """Where cameras stand in the world: (*, 3 or 4, 4) -> (*, 3)."""
    return invert(cam_from_world)[..., 3]


def relative_to_first(cam_from_world: Tensor) -> Tensor:
    """Make the first camera the world: (*, S, 3 or 4, 4) -> (*, S, 3, 4), frame 0 becomes the identity."""
    world_from_first = invert(cam_from_world[..., :1, :, :])
    return compose(cam_from_world, world_from_first.expand(*cam_from_world.shape[:-2], 3, 4))


def world_points(depth: Tensor, K: Tensor, cam_from_world: Tensor) -> Tensor:
    """Lift depth maps into the world: depth (*, H, W), K (*, 3, 3), poses (*, 3 or 4, 4) -> (*, H, W, 3)."""
    points = unproject(depth, K)
    return transform(invert(cam_from_world), points.flatten(-3, -2)).reshape(points.shape)


def resize_intrinsics(K: Tensor, scale_x: float, scale_y: float) -> Tensor:
    """K after a resize by the two factors: `c' = (c + 0.5) s - 0.5`, because pixel centres are integers.

    Source:  the public loaders use `c' = c s`, which is off by (1 - s) / 2 px.
    """
    K = as_real_tensor(K)
    factor = K.new_tensor([scale_x, scale_y])
    resized = K.clone()
    resized[..., 0, :2] = K[..., 0, :2] * factor[0]
    resized[..., 1, 1] = K[..., 1, 1] * factor[1]
    resized[..., :2, 2] = (K[..., :2, 2] + 0.5) * factor - 0.5
    return resized


def quaternion_to_matrix(quaternion: Tensor) -> Tensor:
    """Rotation matrices (*, 3, 3) from quaternions x, y, z, w (*, 4) of any non-zero length.

    Note:    normalizes through the factor 2 / |q|^2, as the pose decoding of the public network does.
    """
    x, y, z, w = quaternion.unbind(-1)
    s = 2.0 / (quaternion * quaternion).sum(-1)
    xx, yy, zz = s * (x * x), s * (y * y), s * (z * z)
    xy, xz, yz = s * (x * y), s * (x * z), s * (y * z)
    xw, yw, zw = s * (x * w), s * (y * w), s * (z * w)
    first = torch.stack((1 - (yy + zz), xy - zw, xz + yw), -1)
    second = torch.stack((xy + zw, 1 - (xx + zz), yz - xw), -1)
    third = torch.stack((xz - yw, yz + xw, 1 - (xx + yy)), -1)
    return torch.stack((first, second, third), -2)


def matrix_to_quaternion(rotation: Tensor) -> Tensor:
    """Quaternions x, y, z, w (*, 4) with w >= 0 from rotation matrices (*, 3, 3).

    Note:    of the four equivalent formulas the best conditioned one is taken, so 180 degree turns are exact.
    """
    rotation = as_real_tensor(rotation)
    xx, yy, zz = rotation.diagonal(dim1=-2, dim2=-1).unbind(-1)
    # Up to the factor 4 these are the products of the quaternion's components: squares, sums and differences.
    sx, sy = 1 + xx - yy - zz, 1 - xx + yy - zz
    sz, sw = 1 - xx - yy + zz, 1 + xx + yy + zz
    twice_symmetric, twice_skew = rotation + rotation.mT, rotation - rotation.mT
    xy, xz, yz = twice_symmetric[..., 0, 1], twice_symmetric[..., 0, 2], twice_symmetric[..., 1, 2]
    wx, wy, wz = twice_skew[..., 2, 1], twice_skew[..., 0, 2], twice_skew[..., 1, 0]
    by_x = torch.stack((sx, xy, xz, wx), -1)
    by_y = torch.stack((xy, sy, yz, wy), -1)
    by_z = torch.stack((xz, yz, sz, wz), -1)
    by_w = torch.stack((wx, wy, wz, sw), -1)
    # Each row is the quaternion times one of its components; the row of the largest loses no digits.
    rows = torch.stack((by_x, by_y, by_z, by_w), -2)
    best = torch.stack((sx, sy, sz, sw), -1).argmax(-1)
    pick = best[..., None, None].expand(*best.shape, 1, 4)
    unit = F.normalize(rows.gather(-2, pick).squeeze(-2), dim=-1)
    return torch.where(unit[..., 3:] < 0, -unit, unit)


def rotation_angle_deg(rotation: Tensor) -> Tensor:
    """Angle of rotation matrices in degrees: (*, 3, 3) -> (*); accurate near 0 and near 180."""
    q = matrix_to_quaternion(rotation)
    return torch.rad2deg(2 * torch.atan2(q[..., :3].norm(dim=-1), q[..., 3]))


POSE_ENCODING = "absT_quaR_FoV"  # VGGT's name of the only encoding there is; its callers may pass it


def extri_intri_to_pose_encoding(
    extrinsics: Tensor, intrinsics: Tensor, image_size_hw: tuple[int, int], pose_encoding_type: str = POSE_ENCODING
) -> Tensor:
    """Encode cameras as the network predicts them: t, quaternion x y z w (w >= 0), fov_h, fov_w.

    Shapes:  extrinsics (*, 3, 4) camera from world, intrinsics (*, 3, 3) -> (*, 9).
    Units:   translation in scene units, fields of view in radians.
    Note:    the principal point is dropped: decoding puts it at (W / 2, H / 2).
    Raises:  ValueError for an encoding other than VGGT's "absT_quaR_FoV".
    """
    _check_encoding(pose_encoding_type)
    height, width = image_size_hw
    fov_h = 2 * torch.atan((height / 2) / intrinsics[..., 1, 1])
    fov_w = 2 * torch.atan((width / 2) / intrinsics[..., 0, 0])
    quaternion = matrix_to_quaternion(extrinsics[..., :3, :3])
    return torch.cat((extrinsics[..., :3, 3], quaternion, fov_h[..., None], fov_w[..., None]), -1).float()


def pose_encoding_to_extri_intri(
    pose_encoding: Tensor,
    image_size_hw: tuple[int, int],
    pose_encoding_type: str = POSE_ENCODING,
    build_intrinsics: bool = True,
) -> tuple[Tensor, Tensor | None]:
    """Decode the network's pose encoding to cameras.

    Shapes:  (*, 9) -> extrinsics (*, 3, 4) camera from world, intrinsics (*, 3, 3) or None.
    Note:    the principal point is (W / 2, H / 2) although pixel centres are integers: both public codes unproject so,
             and the weights were trained so; it is half a pixel off the image centre ((W - 1) / 2, (H - 1) / 2).
    Raises:  ValueError for an encoding other than VGGT's "absT_quaR_FoV".
    """
    _check_encoding(pose_encoding_type)
    pose_encoding = as_real_tensor(pose_encoding)
    rotation = quaternion_to_matrix(pose_encoding[..., 3:7])
    extrinsics = torch.cat((rotation, pose_encoding[..., :3, None]), -1)
    if not build_intrinsics:
        return extrinsics, None
    height, width = image_size_hw
    intrinsics = pose_encoding.new_zeros(*pose_encoding.shape[:-1], 3, 3)
    intrinsics[..., 0, 0] = (width / 2) / torch.tan(pose_encoding[..., 8] / 2)
    intrinsics[..., 1, 1] = (height / 2) / torch.tan(pose_encoding[..., 7] / 2)
    intrinsics[..., 0, 2] = width / 2
    intrinsics[..., 1, 2] = height / 2
    intrinsics[..., 2, 2] = 1.0
    return extrinsics, intrinsics


def _check_encoding(name: str) -> None:
    if name != POSE_ENCODING:
        raise ValueError(f"pose_encoding_type is {name!r}, expected {POSE_ENCODING!r}")


class Similarity(NamedTuple):
    """`x -> scale * R x + t`; scale (*), rotation (*, 3, 3), translation (*, 3)."""

    scale: Tensor
    rotation: Tensor
    translation: Tensor

    def apply(self, points: Tensor) -> Tensor:
        """Points (*, N, 3) moved by the similarity."""
        return self.scale[..., None, None] * points @ self.rotation.mT + self.translation[..., None, :]


def fit_similarity(
    source: Tensor, target: Tensor, with_scale: bool = True, weights: Tensor | None = None
) -> Similarity:
    """Least-squares similarity that takes source points onto target points.

    Shapes:  source, target (*, N, 3), N >= 3, weights (*, N) not negative or None for equal ones -> Similarity of (*).
    Raises:  ValueError if the shapes differ, N < 3, a coordinate is not finite, or the points lie on one line (then
             the rotation is not determined), or weights are of another shape, negative, not finite or all 0.
    Note:    solved in float64 whatever comes in: in float32 a straight line would pass for a plane.
    Source:  Umeyama, "Least-squares estimation of transformation parameters between two point patterns" (1991).
    """
    source, target = as_real_tensor(source), as_real_tensor(target)
    if source.shape != target.shape or source.shape[-1] != 3:
        raise ValueError(
            f"fit_similarity: got {tuple(source.shape)} and {tuple(target.shape)}, expected equal (*, N, 3)"
        )
    if source.shape[-2] < 3:
        raise ValueError(f"fit_similarity: got {source.shape[-2]} points, expected at least 3 points")
    if not bool(source.isfinite().all() & target.isfinite().all()):
        raise ValueError("fit_similarity: some coordinates are not finite; drop those points first")
    if weights is not None:
        _check_weights(weights, tuple(source.shape[:-1]))
    fit = _best_rotation(source.double(), target.double(), None if weights is None else weights.double())
    if bool((fit.stretch[..., 1] <= 1e-12 * fit.stretch[..., 0].clamp(min=1e-300)).any()):
        raise ValueError("fit_similarity: the points are all on one line or equal; give points that span a plane")
    rotation = fit.u * fit.sign[..., None, :] @ fit.vt
    scale = fit.stretch.sum(-1) / fit.variance_source if with_scale else torch.ones_like(fit.variance_source)
    turned = (rotation @ fit.mean_source[..., None]).squeeze(-1)
    translation = fit.mean_target - scale[..., None] * turned
    return Similarity(scale.to(source.dtype), rotation.to(source.dtype), translation.to(source.dtype))


def _check_weights(weights: Tensor, expected: tuple[int, ...]) -> None:
    if tuple(weights.shape) != expected:
        raise ValueError(f"fit_similarity: got weights {tuple(weights.shape)}, expected {expected}, one for each point")
    usable = weights.isfinite().all() & (weights >= 0).all() & (weights.sum(-1) > 0).all()
    if not bool(usable):
        raise ValueError(
            "fit_similarity: some weights are negative or not finite, or all of a set are 0; expected weights of 0 or "
            "more, some above 0"
        )


def similarity_residual(source: Tensor, target: Tensor) -> Tensor:
    """Root mean square distance that the best similarity leaves between two point sets: (*, N, 3) twice -> (*).

    Note:    the rotation itself is not needed, so straight and motionless paths, whose rotation is not determined,
             are no special case.
    Source:  Umeyama (1991), equation 33.
    """
    fit = _best_rotation(source, target)
    explained = fit.stretch.sum(-1).square() / fit.variance_source.clamp(min=1e-24)
    return (fit.variance_target - explained).clamp(min=0).sqrt()


def nearest_rotation(matrix: Tensor) -> Tensor:
    """The rotation nearest to a matrix in the Frobenius norm: (*, 3, 3) -> (*, 3, 3); never a mirrored one."""
    u, _, vt = torch.linalg.svd(matrix)
    sign = torch.ones_like(matrix[..., 0])
    sign[..., 2] = torch.linalg.det(u @ vt).sign()
    nearest: Tensor = u * sign[..., None, :] @ vt
    return nearest


class _BestRotation(NamedTuple):
    """What the fit of a similarity is made of; `stretch` are the singular values with the sign of a proper rotation."""

    mean_source: Tensor
    mean_target: Tensor
    variance_source: Tensor
    variance_target: Tensor
    u: Tensor
    stretch: Tensor
    sign: Tensor
    vt: Tensor


def _best_rotation(source: Tensor, target: Tensor, weights: Tensor | None = None) -> _BestRotation:
    weights = torch.ones_like(source[..., 0]) if weights is None else weights
    share = (weights / weights.sum(-1, keepdim=True))[..., None]
    mean_source, mean_target = (share * source).sum(-2), (share * target).sum(-2)
    x, y = source - mean_source[..., None, :], target - mean_target[..., None, :]
    variance_source = (share * x * x).sum((-2, -1))
    variance_target = (share * y * y).sum((-2, -1))
    u, d, vt = torch.linalg.svd(y.mT @ (share * x))
    # A mirrored set is no rotation away: the least important axis then counts against the fit.
    mirrored = torch.linalg.det(u) * torch.linalg.det(vt) < 0
    sign = torch.ones_like(d)
    sign[..., 2] = torch.where(mirrored, -1.0, 1.0)
    return _BestRotation(mean_source, mean_target, variance_source, variance_target, u, d * sign, sign, vt)


def closed_form_inverse_se3(
    se3: Tensor | NDArray[Any], R: Tensor | NDArray[Any] | None = None, T: Tensor | NDArray[Any] | None = None
) -> Any:
    """Inverse of rigid transforms under VGGT's name: (N, 3 or 4, 4) -> (N, 4, 4), the kind of array that came in.

    Shapes:  R (N, 3, 3) and T (N, 3, 1), where given, take the place of the parts of `se3`.
    """
    pose = as_real_tensor(se3)
    if pose.ndim != 3 or tuple(pose.shape[1:]) not in ((3, 4), (4, 4)):
        raise ValueError(f"se3 has shape {tuple(pose.shape)}, expected (N, 3, 4) or (N, 4, 4)")
    rotation = pose[:, :3, :3] if R is None else as_real_tensor(R)
    translation = pose[:, :3, 3:] if T is None else as_real_tensor(T)
    inverse = to_4x4(invert(torch.cat((rotation, translation), -1)))
    return inverse if isinstance(se3, Tensor) else inverse.detach().cpu().numpy()


def unproject_depth_map_to_point_map(
    depth_map: Tensor | NDArray[Any], extrinsics_cam: Tensor | NDArray[Any], intrinsics_cam: Tensor | NDArray[Any]
) -> NDArray[Any]:
    """Lift depth maps into the world under VGGT's name and call shape; numpy or torch in, numpy out.

    Shapes:  depth_map (S, H, W, 1) or (S, H, W), extrinsics_cam (S, 3 or 4, 4), intrinsics_cam (S, 3, 3)
             -> (S, H, W, 3).
    Frame:   extrinsics are camera from world; pixel (0, 0) is centred at (0, 0).
    Raises:  ValueError if depth_map has other axes or the frame counts differ.
    """
    depth, extrinsics, intrinsics = (
        as_real_tensor(a).detach().cpu() for a in (depth_map, extrinsics_cam, intrinsics_cam)
    )
    if depth.ndim == 4 and depth.shape[-1] == 1:
        depth = depth.squeeze(-1)
    if depth.ndim != 3:
        raise ValueError(f"depth_map has shape {tuple(depth_map.shape)}, expected (S, H, W, 1) or (S, H, W)")
    kind = torch.promote_types(torch.promote_types(depth.dtype, extrinsics.dtype), intrinsics.dtype)
    points: NDArray[Any] = world_points(depth.to(kind), intrinsics.to(kind), extrinsics.to(kind)).numpy()
    return points
