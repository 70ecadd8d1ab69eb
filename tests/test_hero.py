"""The hero picture: nearest points win, the background is transparent, the cloud fills its place; the logo."""

from __future__ import annotations

import xml.etree.ElementTree as ET

import numpy as np
import pytest

from page4d.result import prediction_from_clip
from page4d.viz import Eye, hero, logo
from page4d.viz.splat import splat
from page4d.world import render_clip, split_config

AHEAD = Eye(position=(0.0, 0.0, 0.0), target=(0.0, 0.0, 1.0))
RED, BLUE = np.array([1.0, 0.0, 0.0]), np.array([0.0, 0.0, 1.0])


def wall(z: float, half: float) -> np.ndarray:
    side = np.linspace(-half, half, 161)
    x, y = np.meshgrid(side, side)
    return np.stack((x.ravel(), y.ravel(), np.full(x.size, z)), -1)


def picture(*walls: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    points = np.concatenate([points for points, _ in walls])
    colours = np.concatenate([np.broadcast_to(colour, points.shape) for points, colour in walls])
    return splat(points, colours, (80, 60), AHEAD, unit=1.0, radius_px=2)


@pytest.mark.parametrize("order", [1, -1])
def test_the_nearer_of_two_walls_is_seen(order: int) -> None:
    near, far = (wall(1.0, 0.2), RED), (wall(2.0, 1.0), BLUE)
    drawn = picture(*[near, far][::order])
    assert drawn[30, 40] == pytest.approx([1, 0, 0, 1])
    assert drawn[30, 20] == pytest.approx([0, 0, 1, 1])


def test_the_points_fill_the_picture_and_the_rest_is_clear() -> None:
    drawn = picture((wall(1.0, 0.2), RED))
    rows, columns = np.flatnonzero(drawn[..., 3].max(1)), np.flatnonzero(drawn[..., 3].max(0))
    assert 53 <= len(rows) <= 60
    assert 53 <= len(columns) <= 60, "a square stays a square"
    assert drawn[:, :5, 3].max() == 0
    assert drawn[30, 40, 3] == 1


def test_points_behind_the_eye_are_not_drawn() -> None:
    drawn = picture((wall(1.0, 0.2), RED), (wall(-1.0, 0.2), BLUE))
    assert drawn[..., 2].max() == 0


def test_right_stays_right_and_down_stays_down() -> None:
    corner = wall(1.0, 0.03) + np.array((0.2, 0.15, 0.0))
    drawn = picture((wall(1.0, 0.2), RED), (corner, BLUE))
    blue = np.argwhere(drawn[..., 2] > 0.5).mean(0)
    assert blue[0] > 35
    assert blue[1] > 50


def test_the_hero_shows_frames_depth_and_cloud() -> None:
    clip = render_clip(5, split_config("dynamic-test", height=56, width=84, frames=4))
    assert clip.moving is not None
    prediction = prediction_from_clip(clip)
    drawn = hero(prediction, clip.moving.numpy(), size=(600, 180))
    assert drawn.shape == (180, 600, 4)
    assert drawn.dtype == np.uint8
    assert 0.3 < (drawn[:, :276, 3] == 255).mean() < 0.95
    assert 0.1 < (drawn[:, 276:, 3] > 128).mean() < 0.95
    assert drawn[0, 0, 3] == 0
    without = hero(prediction, None, size=(600, 180))
    orange = [((picture[:, :276, 0] > 200) & (picture[:, :276, 2] < 60)).sum() for picture in (drawn, without)]
    assert orange[0] > orange[1]


def test_the_logo_takes_a_colour_only_if_it_is_given_one() -> None:
    plain, dark = logo(), logo(colour="white")
    assert 'style="display' in plain
    assert "color:white;" in dark
    assert "<text" not in logo(name="")
    assert ET.fromstring(plain).attrib["aria-label"] == "Page4D"
