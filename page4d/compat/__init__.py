"""The names that users of VGGT and PAGE-4D import, in one place, with their call shapes.

`from vggt.utils.geometry import X` becomes `from page4d.compat import X`, whatever the submodule was; the book's page
"Coming from VGGT or PAGE-4D" has the list. Pixel (0, 0) is centred at (0, 0), poses are camera from world, quaternions
are x, y, z, w, as there. New code is better off with `page4d` and `page4d.geometry`, whose functions take leading axes.
"""

from __future__ import annotations

from page4d.compat.colmap import batch_np_matrix_to_pycolmap, batch_np_matrix_to_pycolmap_wo_track
from page4d.compat.lenses import apply_distortion, iterative_undistortion, single_undistortion
from page4d.compat.pictures import visualize_tracks_on_images
from page4d.compat.points import (
    cam_from_img,
    create_pixel_coordinate_grid,
    depth_to_cam_coords_points,
    depth_to_world_coords_points,
    img_from_cam,
    mat_to_quat,
    project_world_points_to_cam,
    quat_to_mat,
    randomly_limit_trues,
    standardize_quaternion,
)
from page4d.geometry import (
    closed_form_inverse_se3,
    extri_intri_to_pose_encoding,
    pose_encoding_to_extri_intri,
    unproject_depth_map_to_point_map,
)
from page4d.io.images import load_and_preprocess_images, load_and_preprocess_images_square
from page4d.model import VGGT

__all__ = [
    "VGGT", "apply_distortion", "batch_np_matrix_to_pycolmap", "batch_np_matrix_to_pycolmap_wo_track", "cam_from_img",
    "closed_form_inverse_se3", "create_pixel_coordinate_grid", "depth_to_cam_coords_points",
    "depth_to_world_coords_points", "extri_intri_to_pose_encoding", "img_from_cam", "iterative_undistortion",
    "load_and_preprocess_images", "load_and_preprocess_images_square", "mat_to_quat", "pose_encoding_to_extri_intri",
    "project_world_points_to_cam", "quat_to_mat", "randomly_limit_trues", "single_undistortion",
    "standardize_quaternion", "unproject_depth_map_to_point_map", "visualize_tracks_on_images",
]  # fmt: skip
