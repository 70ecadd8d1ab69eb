"""The pieces of the synthetic world against closed forms and an independent referee (distance fields in numpy)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from page4d.geometry import pixel_grid
from page4d.schema import UserError
from page4d.world import WorldConfig, render_scenes, sample_scene
from page4d.world.bodies import Body, BodyPath, Joint, Part, Y, lowest, place_parts
from page4d.world.cameras import Camera
from page4d.world.draw import Array, Draw, rotation_about, turn
from page4d.world.figures import person
from page4d.world.hits import rays
from page4d.world.motions import Motion, travel
from page4d.world.render import SKY_FILL
from page4d.world.scenes import Scene, Weather, assemble
from page4d.world.solids import BOX, CAPSULE, CYLINDER, ELLIPSOID, PLANE, bounding_cone, first_hit, normals
from page4d.world.tables import affine_compose, affine_inverse, tables
from page4d.world.textures import CELLS, Paint, noise

CONFIG = WorldConfig(height=41, width=61, frames=1)
K = np.array([[50.0, 0, 30], [0, 40.0, 20], [0, 0, 1]])
GREY = Paint(np.zeros((3, 4)), np.full(9, 0.5), np.array([0.0, 0, 0, 1, 0, 1]))
FLOOR = Body((Part(PLANE, np.ones(3)),), 0.0, path=BodyPath(np.zeros(3), start=turn(np.array([1.0, 0, 0]), math.pi)))
EYE = np.eye(3, 4)[None]


def _scene(
    bodies: list[Body], pose: Array = EYE, air: tuple[float, ...] = (1, 0, 0, 0), light: Array | None = None
) -> Scene:
    """Grey bodies before one camera; world axes are the camera's unless a pose says otherwise."""
    rows = sorted(((p, b, i + 1, GREY) for i, b in enumerate(bodies) for p in b.parts), key=lambda row: row[0].kind)
    times = np.zeros(len(pose))
    camera = Camera(pose, K, np.zeros((len(pose), 3)), times)
    weather = Weather(np.zeros(3) if light is None else light, np.array([*air, *[1.0] * 6]), GREY)
    return assemble(rows, camera, weather, CONFIG, 0)


def _body(kind: int, half: list[float], place: list[float], length: float = 0.0, start: Array | None = None) -> Body:
    path = BodyPath(np.array(place), start=np.eye(3) if start is None else start)
    return Body((Part(kind, np.array(half), length),), float(np.linalg.norm(half)), path=path)


def test_a_sphere_straight_ahead() -> None:
    depth = render_scenes([_scene([_body(ELLIPSOID, [0.5] * 3, [0, 0, 3])])], dtype=torch.float64).depth[0, 0]
    assert depth[20, 30] == pytest.approx(2.5, abs=1e-12)
    # The silhouette is where the line of sight is tangent: tan(asin(r / d)).
    reach = math.tan(math.asin(0.5 / 3))
    x, y = pixel_grid(41, 61, depth).unbind(-1)
    inside = ((x - 30) / 50) ** 2 + ((y - 20) / 40) ** 2 < reach**2
    assert torch.equal(depth > 0, inside)
    # One more pixel in closed form: the near root of |t d - c| = r with d = (0.1, 0, 1).
    a, b, c = 1.01, 3.0, 9 - 0.25
    assert depth[20, 35] == pytest.approx((b - math.sqrt(b * b - a * c)) / a, abs=1e-12)


def test_a_plane_has_depth_inverse_in_the_row() -> None:
    pose = np.concatenate((np.eye(3), [[0.0], [1.5], [0.0]]), 1)[None]  # the camera 1.5 m above the floor
    depth = render_scenes([_scene([FLOOR], pose)], dtype=torch.float64).depth[0, 0]
    row = torch.arange(21, 41, dtype=torch.float64)
    torch.testing.assert_close(depth[23:], (1.5 * 40 / (row - 20))[2:, None].expand(-1, 61))
    assert (depth[:21] == 0).all()


def test_the_world_ends_in_sky() -> None:
    scene = _scene([_body(BOX, [60.0, 60, 1], [0, 0, 56])])
    assert (render_scenes([scene]).depth == 0).all()


def _distance(kind: int, p: Array, half: Array, length: float) -> Array:
    """Signed distance fields of rigid solids in their own axes, written apart from the ray code."""
    if kind == ELLIPSOID:
        return np.asarray(np.linalg.norm(p, axis=-1) - half[0])
    if kind == BOX:
        q = np.abs(p) - half
        return np.asarray(np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(-1), 0))
    if kind == CYLINDER:
        q = np.stack((np.hypot(p[:, 0], p[:, 2]) - half[0], np.abs(p[:, 1]) - half[1]), -1)
        return np.asarray(np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(-1), 0))
    y = np.clip(p[:, 1], -length * half[0], length * half[0])
    return np.asarray(np.linalg.norm(p - np.stack((0 * y, y, 0 * y), -1), axis=-1) - half[0])


@pytest.mark.parametrize(
    ("kind", "half", "length"),
    [
        (ELLIPSOID, [0.6, 0.6, 0.6], 0.0),
        (BOX, [0.3, 0.5, 0.7], 0.0),
        (CYLINDER, [0.4, 0.6, 0.4], 0.0),
        (CAPSULE, [0.3, 0.3, 0.3], 1.4),
    ],
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_solids_against_sphere_tracing(kind: int, half: list[float], length: float, seed: int) -> None:
    draw = Draw(seed)
    place, start = np.array([draw.uniform(-0.4, 0.4), draw.uniform(-0.3, 0.3), draw.uniform(2.0, 4.0)]), draw.rotation()
    scene = _scene([_body(kind, half, place.tolist(), length, start)])
    depth = render_scenes([scene], dtype=torch.float64).depth[0, 0].flatten().numpy()
    ray = rays(torch.from_numpy(K)[None], pixel_grid(41, 61, scene.K).view(1, -1, 2))[0].T.numpy()
    unit = ray / np.linalg.norm(ray, axis=-1, keepdims=True)
    travelled, nearest = np.zeros(len(unit)), np.full(len(unit), np.inf)
    for _ in range(300):
        gap = _distance(kind, (unit * travelled[:, None] - place) @ start, np.array(half), length)
        nearest = np.minimum(nearest, gap)
        travelled = np.minimum(travelled + np.maximum(gap, 0), 50.0)
    referee = np.where(travelled < 20, travelled * unit[:, 2], 0)
    # Rays that pass within a hair of the surface creep along it; leave out those that have not arrived.
    clear = (nearest < 1e-9) | ((nearest > 1e-3) & (travelled > 20))
    assert clear.mean() > 0.97
    assert (referee > 0).sum() > 50
    np.testing.assert_array_equal((depth > 0)[clear], (referee > 0)[clear])
    np.testing.assert_allclose(depth[clear], referee[clear], atol=1e-6)


@pytest.mark.parametrize("kind", [ELLIPSOID, BOX, CYLINDER, CAPSULE, PLANE])
def test_normals_are_the_gradients_of_the_distance(kind: int) -> None:
    generator = torch.Generator().manual_seed(kind)
    p = torch.randn((3, 400), generator=generator, dtype=torch.float64)
    length = torch.full((400,), 1.2 if kind == CAPSULE else 0.0, dtype=torch.float64)
    radial, tall = torch.hypot(p[0], p[2]), p[1].abs()
    if kind == ELLIPSOID:
        p = p / p.norm(dim=0)
    elif kind == BOX:
        p = p / p.abs().amax(0)
    elif kind == CYLINDER:
        p = torch.where(radial > tall, p / radial, p / tall)
    elif kind == CAPSULE:
        end = p[1].clamp(-1.2, 1.2)
        core = torch.stack((0 * end, end, 0 * end))
        p = core + (p - core) / (p - core).norm(dim=0)
        p[1] = torch.where(core[1].abs() < 1.2, core[1], p[1])
    else:
        p[1] = 0.0
    if kind == CAPSULE:
        side = p[1].abs() < 1.2
        p[0], p[2] = (torch.where(side, p[i] / torch.hypot(p[0], p[2]), p[i]) for i in (0, 2))
    n = normals(torch.full((400,), kind), length, p)
    n = n / n.norm(dim=0)
    if kind == PLANE:
        assert torch.equal(n[1], torch.ones(400, dtype=torch.float64))
        return
    step = 1e-6
    field = [
        _distance(kind, (p + step * sign * torch.eye(3, dtype=torch.float64)[axis, :, None]).T.numpy(), np.ones(3), 1.2)
        for axis in range(3)
        for sign in (1, -1)
    ]
    gradient = torch.from_numpy(np.stack([(field[2 * i] - field[2 * i + 1]) / (2 * step) for i in range(3)]))
    # Within a step of an edge the difference quotient sees two faces.
    smooth = (gradient.norm(dim=0) - 1).abs() < 1e-3
    assert smooth.float().mean() > 0.95
    torch.testing.assert_close(n[:, smooth], gradient[:, smooth], atol=1e-3, rtol=0)


def test_no_ray_that_hits_is_lost_to_the_bounding_cones() -> None:
    """The same scenes with cones that let every ray through give the same hits, bit for bit."""
    scenes = [sample_scene(seed, replace(CONFIG, frames=2)) for seed in range(8)]
    table = tables(scenes, dtype=torch.float64)
    directions = rays(table.K, pixel_grid(41, 61, table.K).view(1, -1, 2))
    solids = table.from_camera()
    everything = solids.cone.new_tensor([0.0, 0.0, 0.0, 1.0]).expand_as(solids.cone)
    narrow, wide = first_hit(solids, directions), first_hit(replace(solids, cone=everything), directions)
    assert torch.equal(narrow[0], wide[0])
    assert torch.equal(narrow[1], wide[1])


def test_cones_bound_points_of_the_solid() -> None:
    """Every direction to a point of the solid has a positive product with its cone, also for sheared ellipsoids."""
    generator = torch.Generator().manual_seed(3)
    surface = torch.nn.functional.normalize(torch.randn((3, 500), generator=generator, dtype=torch.float64), dim=0)
    for _ in range(20):
        linear = torch.randn((3, 3), generator=generator, dtype=torch.float64)
        affine = torch.cat((linear, torch.tensor([[1.0], [-2.0], [6.0]]).double()), 1)
        cone = bounding_cone(affine, torch.tensor(0.0).double(), torch.tensor(ELLIPSOID), torch.tensor(True))
        points = linear @ surface + affine[:, 3:]
        assert (cone[:3] @ points + cone[3] * points.norm(dim=0) > 0).all()


def test_affine_maps_invert_and_compose() -> None:
    maps = torch.randn((50, 3, 4), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wanted = torch.eye(3, 4, dtype=torch.float64).expand(50, 3, 4)
    torch.testing.assert_close(affine_compose(maps, affine_inverse(maps)), wanted, atol=1e-9, rtol=0)


def test_a_ball_under_a_lamp_shades_the_floor() -> None:
    """A floor point is dark exactly where its line to the lamp passes the ball's centre within the radius."""
    down = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])  # camera looks down at the floor
    pose = np.concatenate((down, -down @ np.array([[0.0], [-4.0], [0.0]])), 1)[None]
    ball, lamp = _body(ELLIPSOID, [0.3] * 3, [0, -2.0, 0]), np.array([0.0, -4.0, 0.0])
    with_shadow, without = (
        render_scenes([_scene([FLOOR, ball], pose, (0.2, 0.8, depth, 0.0), lamp)], dtype=torch.float64)
        for depth in (1.0, 0.0)
    )
    floor = with_shadow.instances[0, 0] == 1
    darker = (without.images - with_shadow.images)[0, 0, 0] > 0.05
    # Lamp and camera coincide, so the ball hides its own shadow exactly.
    assert not (darker & floor).any()
    lamp_aside = np.array([1.0, -4.0, 0.0])
    with_shadow, without = (
        render_scenes([_scene([FLOOR, ball], pose, (0.2, 0.8, depth, 0.0), lamp_aside)], dtype=torch.float64)
        for depth in (1.0, 0.0)
    )
    darker = (without.images - with_shadow.images)[0, 0, 0] > 1e-6
    point = with_shadow.world_points[0, 0]
    beam = torch.nn.functional.normalize(point - torch.from_numpy(lamp_aside), dim=-1)
    to_ball = torch.tensor([0.0, -2.0, 0.0]).double() - torch.from_numpy(lamp_aside)
    aside = torch.linalg.cross(beam, to_ball.expand_as(beam)).norm(dim=-1)
    assert floor.any()
    assert torch.equal(darker[floor], (aside < 0.3)[floor])
    assert darker[floor].any()
    # In shadow only the ambient part of the grey is left, and what the sky gives to what faces up.
    left = 0.5 * (0.2 + 0.8 * SKY_FILL)
    assert with_shadow.images[0, 0, 0][floor & darker].sub(left).abs().max() < 1e-9


def test_lambert_on_the_floor() -> None:
    down = np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
    pose = np.concatenate((down, -down @ np.array([[0.0], [-4.0], [0.0]])), 1)[None]
    lamp = np.array([0.5, -3.0, 0.2])
    done = render_scenes([_scene([FLOOR], pose, (0.3, 0.6, 0.0, 0.0), lamp)], dtype=torch.float64)
    way = torch.from_numpy(lamp) - done.world_points[0, 0]
    cosine = -way[..., 1] / way.norm(dim=-1)
    torch.testing.assert_close(done.images[0, 0, 0], 0.5 * (0.3 + 0.6 * (cosine + SKY_FILL)), atol=1e-9, rtol=0)


def test_fog_follows_beer_and_lambert() -> None:
    wall = _body(BOX, [9.0, 9, 1], [0, 0, 5])
    done = render_scenes([_scene([wall], air=(1.0, 0.0, 0.0, 0.2))], dtype=torch.float64)
    x, y = pixel_grid(41, 61, done.depth).unbind(-1)
    way = 4 * torch.sqrt(1 + ((x - 30) / 50) ** 2 + ((y - 20) / 40) ** 2)
    clear = torch.exp(-0.2 * way)
    torch.testing.assert_close(done.images[0, 0, 0], 0.5 * clear + 1.0 * (1 - clear), atol=1e-9, rtol=0)


def test_hinges_turn_about_their_pivots() -> None:
    """A forearm on two hinges, in closed form: both bent by 90 degrees."""
    elbow = Joint(np.array([0.0, 2.0, 0.0]), np.array([1.0, 0, 0]), rest=math.pi / 2)
    shoulder = replace(elbow, pivot=np.array([1.0, 0.0, 0.0]))
    part = Part(CAPSULE, np.full(3, 0.1), 3.0, np.array([0.0, 0.5, 0.0]), joints=(shoulder, elbow))
    maps = place_parts([(part, Body((part,), 1.0, path=BodyPath(np.array([0.0, 0, 10]))))], np.zeros(1))
    # Shoulder at (1, 0, 10) turns y into z: elbow at (1, 0, 12); its hinge turns z into -y: middle at (1, -0.5, 12).
    np.testing.assert_allclose(maps[0, 0, :, 3], [1.0, -0.5, 12.0], atol=1e-12)


def test_a_person_keeps_its_joints_together_and_its_feet_on_the_ground() -> None:
    for seed in range(8):
        body = person(Draw(seed), 1.3)
        body = replace(body, path=travel(Draw(0), body, Motion(0.0, 1.3), np.zeros(3))).built()
        times = np.linspace(-1, 1, 81)
        maps = place_parts([(part, body) for part in body.parts], times)
        left, right = [4, 5, 6], [8, 9, 10]
        thighs, shins = maps[:, [left[0], right[0]]], maps[:, [left[1], right[1]]]
        knee = [p.length * p.half[1] for p in (body.parts[4], body.parts[5])]
        # The thigh's lower end and the shin's upper end are the knee.
        axis = maps[..., 1] / np.linalg.norm(maps[..., 1], axis=-1, keepdims=True)
        lower = thighs[..., 3] + axis[:, [left[0], right[0]]] * knee[0]
        upper = shins[..., 3] - axis[:, [left[1], right[1]]] * knee[1]
        np.testing.assert_allclose(lower, upper, atol=0.03 * body.tall)
        # One foot is on the ground or just above it at any time, and none is below.
        ground = lowest(body.parts, maps)
        assert ground.max() < 1e-3
        assert ground.min() > -0.03
        feet = maps[..., 3][:, [left[2], right[2]]]
        assert (feet[..., 2].max(0) - feet[..., 2].min(0)).min() > 1.9
        # Left and right alternate: at times one foot is in front, at times the other.
        ahead = feet[:, 0, 2] - feet[:, 1, 2]
        assert ahead.max() > 0.1
        assert ahead.min() < -0.1
        assert 1.5 <= body.tall <= 1.9


def test_stretching_bodies_keep_their_material() -> None:
    """The volume of a breathing, leaning ellipsoid follows its stretches; its centre stays on its path."""
    part = Part(
        ELLIPSOID, np.array([0.4, 0.5, 0.6]), stretch=np.array([0.3, 0.2, 0.1]), shear=np.array([0.4, 0.0, -0.2])
    )
    body = Body((part,), 1.0, True, 2.0, BodyPath(np.array([0.0, 0, 3]), velocity=np.array([0.5, 0, 0])))
    times = np.linspace(0, 2, 9)
    maps = place_parts([(part, body)], times)
    volume = np.linalg.det(maps[:, 0, :, :3])
    s = np.sin(2.0 * times)
    np.testing.assert_allclose(volume, 0.12 * (1 + 0.3 * s) * (1 + 0.2 * s) * (1 + 0.1 * s), rtol=1e-12)
    np.testing.assert_allclose(maps[:, 0, 0, 3], 0.5 * times, atol=1e-12)


def test_cameras_stand_inside_the_world_and_outside_of_bodies() -> None:
    for seed in range(40):
        scene = sample_scene(seed, WorldConfig(frames=6))
        centre = -(scene.cam_from_world[..., :3].mT @ scene.cam_from_world[..., 3:])
        local = affine_inverse(scene.world_from_local)
        p = (local[..., :3] @ centre[:, None] + local[..., 3:])[..., 0]
        kind = scene.kind
        assert (p[:, kind == PLANE, 1] > 0.05).all()
        assert (p[:, kind == ELLIPSOID].norm(dim=-1) > 1.05).all()
        assert (p[:, kind == BOX].abs().amax(-1) > 1.02).all()
        rotation = scene.cam_from_world[..., :3]
        torch.testing.assert_close(
            rotation @ rotation.mT, torch.eye(3).double().expand_as(rotation), atol=1e-12, rtol=0
        )


def test_every_kind_of_body_and_solid_turns_up() -> None:
    scenes = [sample_scene(seed) for seed in range(60)]
    kinds = torch.cat([s.kind for s in scenes]).unique()
    assert kinds.tolist() == [PLANE, ELLIPSOID, BOX, CYLINDER, CAPSULE]
    moving_parts = [int((s.instance[s.moving] == i).sum()) for s in scenes for i in s.instance[s.moving].unique()]
    # A ball, a cart, a worm, a car, a dog, a person.
    assert {1, 2, 3, 7, 8, 12} <= set(moving_parts)
    rooms = [s.counts[PLANE] == 6 for s in scenes]
    assert 0.3 < sum(rooms) / len(rooms) < 0.9
    stretch = [torch.linalg.det(s.world_from_local[..., :3]) for s in scenes]
    breathing = [((d - d[:1]).abs().amax(0) > 1e-3 * d[0].abs()).any() for d in stretch]
    assert 0.1 < sum(map(int, breathing)) / len(breathing) < 0.9


def test_noise_is_a_torus_and_smooth() -> None:
    points = torch.rand((500, 3), generator=torch.Generator().manual_seed(0), dtype=torch.float64) * CELLS
    torch.testing.assert_close(noise(points), noise(points + CELLS))
    torch.testing.assert_close(noise(points), noise(points - 3 * CELLS), atol=1e-9, rtol=0)
    assert (noise(points) - noise(points + 1e-4)).abs().max() < 1e-3
    assert noise(points).std() > 0.2


def test_draws() -> None:
    draw, again = Draw(7), Draw(7)
    numbers = [draw.unit() for _ in range(2000)]
    assert numbers == [again.unit() for _ in range(2000)]
    assert 0.47 < sum(numbers) / 2000 < 0.53
    assert {Draw(1).integer(2, 4) for _ in range(1)} <= {2, 3, 4}
    assert sorted({draw.integer(2, 4) for _ in range(100)}) == [2, 3, 4]
    picks = [draw.choice("ab", (0.0, 1.0)) for _ in range(50)]
    assert set(picks) == {"b"}
    rotation = draw.rotation()
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1.0)
    np.testing.assert_allclose(rotation_about(Y[None], np.array([0.7]))[0], turn(Y, 0.7), atol=1e-15)
    np.testing.assert_allclose(turn(Y, math.pi / 2) @ [0, 0, 1.0], [1.0, 0, 0], atol=1e-12)
    with pytest.raises(UserError, match="seed -1"):
        Draw(-1)
