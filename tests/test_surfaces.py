"""Accuracy, completeness, normals and ICP on planes and boxes whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist
from scipy.spatial.transform import Rotation

from page4d.evaluate.surfaces import estimate_normals, refine_by_icp, surface_errors


def plane(side: int = 40, z: float = 2.0) -> np.ndarray:
    x, y = np.meshgrid(np.linspace(-1, 1, side), np.linspace(-1, 1, side))
    return np.stack((x, y, np.full_like(x, z)), -1).reshape(-1, 3)


def corner(side: int = 30) -> np.ndarray:
    """Three planes that meet at right angles: no rotation or shift leaves it where it is."""
    flat = plane(side, 0.0) + np.array([1, 1, 0])
    return np.concatenate((flat, flat[:, [2, 0, 1]], flat[:, [1, 2, 0]]))


def test_equal_clouds_are_perfect() -> None:
    errors = surface_errors(corner(), corner())
    assert (errors.accuracy_mean, errors.completeness_mean) == (0, 0)
    assert errors.normals_mean == pytest.approx(1, abs=1e-9)


def test_a_plane_moved_along_its_normal_is_off_by_that() -> None:
    errors = surface_errors(plane(z=2.03), plane())
    assert errors.accuracy_mean == pytest.approx(0.03)
    assert errors.accuracy_median == pytest.approx(0.03)
    assert errors.completeness_mean == pytest.approx(0.03)
    assert errors.normals_mean == pytest.approx(1, abs=1e-9)


def test_what_is_missing_costs_completeness_alone() -> None:
    whole = plane(41)
    half = whole[whole[:, 0] <= 0]
    errors = surface_errors(half, whole)
    assert errors.accuracy_mean == 0
    # The other half lies 0.05, 0.10, ... 1.00 from the edge: 20 of 41 columns with a mean of 0.525.
    assert errors.completeness_mean == pytest.approx(0.525 * 20 / 41)


def test_a_tilted_plane_has_the_cosine_of_its_tilt() -> None:
    tilt = Rotation.from_euler("x", 30, degrees=True).as_matrix()
    flat = plane(z=0.0)
    errors = surface_errors(flat @ tilt.T, flat)
    assert errors.normals_mean == pytest.approx(np.cos(np.radians(30)), abs=1e-6)


def test_normals_of_a_plane_are_its_normal_up_to_sign() -> None:
    normals = estimate_normals(plane())
    np.testing.assert_allclose(np.abs(normals), np.broadcast_to([0, 0, 1], normals.shape), atol=1e-9)


def test_icp_undoes_a_small_motion_and_leaves_a_large_one() -> None:
    true = corner()
    turn = Rotation.from_euler("xyz", [1, -1, 0.5], degrees=True).as_matrix()
    near = true @ turn.T + np.array([0.01, -0.02, 0.015])
    before = np.abs(near - true).max()
    assert np.abs(refine_by_icp(near, true) - true).max() < 0.02 * before
    far = true + np.array([50.0, 0.0, 0.0])
    np.testing.assert_array_equal(refine_by_icp(far, true), far)


def scattered_corner(count: int = 300) -> np.ndarray:
    flat = np.column_stack((np.random.default_rng(0).uniform(0, 2, (count, 2)), np.zeros(count)))
    return np.concatenate((flat, flat[:, [2, 0, 1]], flat[:, [1, 2, 0]]))


def test_icp_goes_on_until_nothing_moves() -> None:
    """The nearest points are the wrong ones at first, and right after some rounds."""
    true = scattered_corner()
    turn = Rotation.from_euler("xyz", [1.5, -1, 2], degrees=True).as_matrix()
    np.testing.assert_allclose(refine_by_icp(true @ turn.T + [0.02, -0.03, 0.01], true), true, atol=1e-9)


def test_icp_turns_and_shifts_but_never_stretches() -> None:
    true = scattered_corner()
    larger = 1.01 * true
    moved = refine_by_icp(larger, true)
    np.testing.assert_allclose(pdist(moved[::50]), pdist(larger[::50]), rtol=1e-9)


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize(
    ("points", "message"),
    [
        (plane(5), "more than 30 points"),
        (plane()[:, :2], r"expected \(N, 3\)"),
        (np.where(np.arange(4800).reshape(-1, 3) == 10, np.inf, plane()), "finite"),
    ],
)
def test_too_few_and_broken_points_are_refused(which: int, points: np.ndarray, message: str) -> None:
    clouds = [plane(), plane()]
    clouds[which] = points
    with pytest.raises(ValueError, match=message):
        surface_errors(*clouds)
