"""Means over pixels that are alike, in closed form."""

from __future__ import annotations

import numpy as np
import pytest

from page4d.result.guided import guided_means

NOISE = (0.05,)


def two_bodies(height: int = 24, width: int = 40, edge: int = 17) -> np.ndarray:
    """A guide (H, W, 1): 0 on the left body, 1 on the right one."""
    guide = np.zeros((height, width, 1))
    guide[:, edge:] = 1
    return guide


def test_what_is_the_same_everywhere_stays() -> None:
    rng = np.random.default_rng(0)
    guide, known = rng.random((12, 15, 3)), rng.random((12, 15)) < 0.7
    np.testing.assert_allclose(guided_means(np.full((12, 15), 2.5), known, guide, 3, (0.1,) * 3), 2.5, atol=1e-9)


def test_a_linear_function_of_the_guide_is_kept() -> None:
    rng = np.random.default_rng(1)
    guide = rng.random((20, 20, 2))
    values = 3 + guide @ np.array([2.0, -1.0])
    made = guided_means(values, np.ones((20, 20), bool), guide, 4, (1e-4, 1e-4))
    np.testing.assert_allclose(made, values, atol=1e-4)


def test_one_body_answers_for_its_unknown_pixels_and_not_for_its_neighbour() -> None:
    guide = two_bodies()
    values, known = 4.0 * guide[..., 0], np.ones((24, 40), bool)
    known[4:20, 10:30] = False  # on both bodies, and the values there are wrong
    wrong = np.where(known, values, 100)
    made = guided_means(wrong, known, guide, 8, NOISE)
    np.testing.assert_allclose(made, values, atol=0.1)
    plain = guided_means(wrong, known, np.zeros_like(guide), 8, NOISE)
    assert np.abs(plain - values).max() > 1, "without a guide the edge is lost"


@pytest.mark.parametrize("radius", [0, 3])
def test_speckles_inside_a_body_are_averaged_out_with_the_radius(radius: int) -> None:
    rng = np.random.default_rng(2)
    guide = two_bodies()
    values = (rng.random((24, 40)) < 0.5) + 0.0
    made = guided_means(values, np.ones((24, 40), bool), guide, radius, NOISE)
    spread = float(made[:, :14].std())
    assert spread > 0.1 if radius == 0 else spread < 0.1


def test_nothing_known_is_nothing_said() -> None:
    made = guided_means(np.ones((8, 8)), np.zeros((8, 8), bool), two_bodies(8, 8, 4), 2, NOISE)
    np.testing.assert_array_equal(made, 0)
