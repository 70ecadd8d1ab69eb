"""The map between input and original pixels: closed forms, there and back, points and intrinsics together."""

from __future__ import annotations

import numpy as np
import pytest

from page4d.result.pixel_map import PixelMap

# A picture of 120 x 44 of which columns 10 to 106 and rows -6 (padding) to 48 became 48 x 36 pixels.
BOX, SIZE = np.array([10.0, -6, 106, 48]), (36, 48)
K = np.array([[40.0, 0.5, 25.5], [0, 46, 16.25], [0, 0, 1]])


def test_edges_meet_edges() -> None:
    """The box's corners are the outer edges of the input, half a pixel beyond its outermost centres."""
    one = PixelMap.of_box(BOX, SIZE)
    assert one.to_original(np.array([-0.5, -0.5])).tolist() == [9.5, -6.5]
    assert one.to_original(np.array([47.5, 35.5])).tolist() == [105.5, 47.5]
    assert one.to_original(np.array([0.0, 0.0])).tolist() == [10.5, -5.75]


@pytest.mark.parametrize("shape", [(2,), (3, 2), (3, 5, 2), (3, 5, 4, 2)])
def test_there_and_back(shape: tuple[int, ...]) -> None:
    boxes = np.stack((BOX, BOX + 3, 2 * BOX))
    frames = PixelMap.of_box(boxes if len(shape) > 1 else BOX, SIZE)
    xy = np.random.default_rng(0).uniform(-5, 50, shape)
    np.testing.assert_allclose(frames.to_input(frames.to_original(xy)), xy, atol=1e-12)
    if len(shape) > 1:
        for i in range(3):
            np.testing.assert_array_equal(frames[i].to_original(xy[i]), frames.to_original(xy)[i])


def test_intrinsics_move_with_the_pixels() -> None:
    """A ray hits the same place of the picture whether it is projected by the moved K or moved after projection."""
    one = PixelMap.of_box(BOX, SIZE)
    ray = np.array([0.2, -0.1, 1.0])
    np.testing.assert_allclose((one.K_in_original(K) @ ray)[:2], one.to_original((K @ ray)[:2]), atol=1e-12)
    np.testing.assert_allclose(one.K_in_input(one.K_in_original(K)), K, atol=1e-12)


def test_grids_are_the_map_of_every_pixel() -> None:
    one = PixelMap.of_box(BOX, SIZE)
    x, y = one.grid_in_input((44, 120))
    assert (len(x), len(y)) == (120, 44)
    np.testing.assert_allclose((x[7], y[5]), one.to_input(np.array([7.0, 5.0])), atol=1e-12)
    both = PixelMap.of_box(np.stack((BOX, BOX + 3)), SIZE)
    x, y = both.grid_in_original(SIZE)
    assert (x.shape, y.shape) == ((2, 48), (2, 36))
    np.testing.assert_allclose(x[1] - x[0], 3)


def test_one_input_onto_another() -> None:
    """From the crop to a depth map of half the picture's size, as if by way of the picture."""
    crop, half = PixelMap.of_box(BOX, SIZE), PixelMap.of_whole((44, 120), (22, 60))
    xy = np.array([[3.0, 30.0], [0.0, 0.0]])
    np.testing.assert_allclose(crop.onto(half).to_original(xy), half.to_input(crop.to_original(xy)), atol=1e-12)
