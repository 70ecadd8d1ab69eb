"""How things stand and move in the synthetic world: closed forms, and what the splits promise."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from page4d.world import WorldConfig, render_scenes, sample_scene, split_config, split_seeds, things
from page4d.world.bodies import Body, lowest, place_parts
from page4d.world.cameras import camera_path
from page4d.world.casting import cast
from page4d.world.draw import Array, Draw
from page4d.world.furnishing import furnish
from page4d.world.motions import Motion, travel
from page4d.world.placing import Place
from page4d.world.scenes import Scene, _camera, _surroundings

TIMES = np.linspace(-2, 2, 41)
MOTIONS = [
    Motion(0.7, 1.2),
    Motion(2.0, 0.8, "circle", 1.1, -1.0),
    Motion(-1.0, 0.9, "shuttle", 0.6, phase=0.4),
]


def _furnished(seed: int, config: WorldConfig) -> Place:
    draw = Draw(seed)
    _, stage = _surroundings(draw, config)
    place = cast(draw, Place(config, stage, _camera(draw, config, stage)))
    furnish(draw, place)
    return place


def _speed_of(body: Body, point: Array, time: float) -> Array:
    """World velocity of the body's material that is at a world point at a time, by central differences."""
    step = 1e-5
    maps = place_parts([(body.parts[0], body)], np.array([time - step, time, time + step]))[:, 0]
    local = np.linalg.solve(maps[1, :, :3], point - maps[1, :, 3])
    before, after = (m[:, :3] @ local + m[:, 3] for m in (maps[0], maps[2]))
    return np.asarray((after - before) / (2 * step))


@pytest.mark.parametrize("motion", MOTIONS, ids=lambda motion: motion.shape)
@pytest.mark.parametrize("make", [things.ball, lambda draw: things.barrel(draw, lying=True), things.wheel])
def test_what_rolls_does_not_slip(make: object, motion: Motion) -> None:
    assert callable(make)
    for seed in range(4):
        draw = Draw(seed)
        body = make(draw)
        body = replace(body, moving=True, path=travel(draw, body, motion, np.array([0.3, 0.0, 4.0])))
        centres = body.path.positions(TIMES)
        for time, centre in zip(TIMES, centres, strict=True):
            contact = centre + np.array([0, body.rise, 0])
            assert contact[1] == pytest.approx(0.0, abs=1e-12)
            assert np.abs(_speed_of(body, contact, time)).max() < 1e-6
            # And the top goes twice as fast as the middle.
            top, middle = (_speed_of(body, centre - np.array([0, up, 0]), time) for up in (body.rise, 0.0))
            np.testing.assert_allclose(top, 2 * middle, atol=1e-6)
        assert np.linalg.norm(_speed_of(body, centres[20], TIMES[20])) == pytest.approx(
            motion.speed * math.cos(motion.phase if motion.shape == "shuttle" else 0.0), abs=1e-6
        )


@pytest.mark.parametrize("motion", MOTIONS, ids=lambda motion: motion.shape)
def test_motions_pass_their_spot_at_time_zero_along_their_heading(motion: Motion) -> None:
    body = things.crate(Draw(0))
    spot = np.array([0.3, -0.5, 4.0])
    path = travel(Draw(1), body, motion, spot)
    here, soon = path.positions(np.array([0.0, 1e-6]))
    np.testing.assert_allclose(here, spot - [0, body.rise, 0], atol=1e-12)
    np.testing.assert_allclose((soon - here) / np.linalg.norm(soon - here), motion.ahead, atol=1e-5)
    np.testing.assert_allclose(path.at(TIMES.tolist()), path.positions(TIMES), atol=1e-14)


def test_a_car_drives_ahead_on_turning_wheels() -> None:
    car = things.car(Draw(3), 2.0)
    car = replace(car, path=travel(Draw(1), car, Motion(0.5, 2.0), np.zeros(3)))
    front = next(part for part in car.parts if part.joints)
    maps = place_parts([(front, car)], np.array([-1e-5, 0.0, 1e-5]))[:, 0]
    local = np.linalg.solve(maps[1, :, :3], maps[1, :, 3] + [0, front.half[0], 0] - maps[1, :, 3])
    before, after = (m[:, :3] @ local + m[:, 3] for m in (maps[0], maps[2]))
    assert np.abs(after - before).max() / 2e-5 < 1e-6


def test_bodies_stand_on_something_unless_they_hang() -> None:
    config = WorldConfig(frames=5)
    hanging = 0
    bodies: list[Body] = []
    for seed in range(60):
        place = _furnished(seed, config)
        bodies += place.bodies
        decks = [0.0]
        for body in place.bodies:
            maps = place_parts([(part, body) for part in body.parts], place.camera.times)
            ground = lowest(body.parts, maps)
            if body.gait == "hang":
                hanging += 1
                assert ground.max() <= 1e-9
                continue
            # A walking foot may hover by some centimetres between two steps; all else touches at any time.
            walks = body.gait == "walk" and body.bob[0] != 0
            support = min(decks, key=lambda deck: abs(deck - ground.max()))
            assert ground.max() <= support + (1e-3 if walks else 1e-9), body.name
            assert ground.min() >= support - (0.035 if walks else 1e-9), body.name
            if body.deck:
                decks.append(float(body.path.place[1] + body.rise - body.tall))
    assert 0.12 < hanging / len(bodies) < 0.28
    assert any(body.moving and body.gait == "roll" for body in bodies)


def test_nothing_hangs_where_nothing_may() -> None:
    for seed in range(12):
        place = _furnished(seed, WorldConfig(hanging_share=0.0))
        assert all(body.gait != "hang" for body in place.bodies)


def test_the_size_of_a_kind_is_its_kind_s() -> None:
    tall: dict[str, list[float]] = {}
    for seed in range(60):
        for body in _furnished(seed, WorldConfig(frames=1)).bodies:
            tall.setdefault(body.name, []).append(body.tall)
    spans = {"person": (1.5, 1.9), "ball": (0.2, 0.7), "car": (1.3, 1.7), "table": (0.7, 0.76), "crate": (0.4, 0.9)}
    for name, (low, high) in spans.items():
        assert low <= min(tall[name]) <= max(tall[name]) <= high, name


def _centres(scene: Scene) -> Array:
    pose = scene.cam_from_world
    return np.asarray(-(pose[..., :3].mT @ pose[..., 3:])[..., 0])


def _line_share(split: str, clips: int) -> float:
    """Mean ATE of the best straight line at constant speed over that of a camera that stands still.

    Note:    a similarity may turn and stretch a line as it likes, so the best one is the regression on time.
    """
    line, still = 0.0, 0.0
    steps = np.arange(8) - 3.5
    for seed in split_seeds(split, clips):
        centres = _centres(sample_scene(seed, split_config(split, frames=8)))
        spread = centres - centres.mean(0)
        slope = steps @ spread / (steps @ steps)
        rest = spread - steps[:, None] * slope
        line += math.sqrt((rest**2).sum(-1).mean())
        still += math.sqrt((spread**2).sum(-1).mean())
    return line / still


@pytest.mark.parametrize("split", ["static-test", "dynamic-test", "dynamic-hard"])
def test_a_straight_line_does_not_explain_the_cameras(split: str) -> None:
    assert _line_share(split, 40) > 1 / 3


def test_a_camera_of_any_number_of_frames_stays_in_its_box_on_one_way() -> None:
    low, high = np.array([-2.0, -2.0, -3.0]), np.array([2.0, -0.8, 3.0])
    config = WorldConfig(tripod_chance=0.0, camera_speed=1.0, frame_stride=1.0)
    for seed in range(20):
        long = camera_path(Draw(seed), replace(config, frames=1001), low, high)
        short = camera_path(Draw(seed), replace(config, frames=5), low, high)
        # Bob and shake come on top of the way.
        assert (long.positions > low - 0.1).all()
        assert (long.positions < high + 0.1).all()
        np.testing.assert_allclose(long.cam_from_world[498:503], short.cam_from_world, atol=1e-9)


def test_stops_and_bends_are_knobs() -> None:
    low, high = np.array([-50.0, -40.0, -50.0]), np.array([50.0, -0.8, 50.0])
    times = WorldConfig(frames=200, tripod_chance=0.0, camera_speed=1.0, frame_rate=50.0, frame_stride=1.0)

    def speeds(**knobs: object) -> Array:
        path = camera_path(Draw(3), replace(times, **knobs), low, high).positions
        return np.asarray(np.linalg.norm(np.diff(path, axis=0), axis=-1) * 50)

    even, uneven = speeds(camera_bend=0.01, camera_stops=0.0), speeds(camera_bend=0.01, camera_stops=1.0)
    assert even.std() < 0.25 * uneven.std()
    assert uneven.min() < 0.15
    assert even.min() > 0.2


def test_hard_scenes_move_coherently_and_fill_the_picture() -> None:
    config = split_config("dynamic-hard", height=32, width=32, frames=8)
    scenes = [sample_scene(seed, config) for seed in split_seeds("dynamic-hard", 48)]
    share = render_scenes(scenes).moving.float().flatten(1).mean(1)
    assert ((share > 0.3) & (share < 0.6)).float().mean() > 0.7
    for seed in split_seeds("dynamic-hard", 12):
        place = _furnished(seed, config)
        times = np.linspace(-1, 1, 9)
        ways = [b.path.positions(times) - b.path.positions(np.zeros(1)) for b in place.bodies if b.moving]
        for way in ways:
            np.testing.assert_allclose(way[:, ::2], ways[0][:, ::2], atol=1e-9)
        assert len({body.path.yaw for body in place.bodies if body.moving}) == 1
