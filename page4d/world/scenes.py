"""From a seed to a scene: surroundings, camera, bodies, light; everything a renderer needs, as tensors."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from page4d.world.bodies import Body, BodyPath, Part, place_parts
from page4d.world.cameras import Camera, camera_path
from page4d.world.casting import cast
from page4d.world.config import WorldConfig
from page4d.world.draw import Array, Draw
from page4d.world.furnishing import furnish
from page4d.world.materials import dress, near_colour
from page4d.world.placing import Place, Stage
from page4d.world.solids import KINDS, PLANE
from page4d.world.textures import Paint

SUN_M = 60.0
# Where a camera may be, in metres (y is down, the floor 0): the box outdoors; indoors how far from walls, how high.
OUTDOORS_LOW, OUTDOORS_HIGH = (-3.0, -2.4, -4.0), (3.0, -0.9, 8.0)
WALL_MARGIN_M, LOWEST_CAMERA_M = 0.5, 0.8
FLOORS = ("boards", "tiles", "carpet")
FINISHES = ("plaster", "wallpaper", "squares", "paint", "panels")


@dataclass(frozen=True)
class Scene:
    """All of one clip's world, in float64 on the CPU; N solids stand ordered by kind, `counts` of each.

    Shapes:  world_from_local (S, N, 3, 4); kind, instance, moving, length (N,); paint_matrix (N, 3, 4),
             colours (N, 9), pattern (N, 6); cam_from_world (S, 3, 4); K (3, 3); light (3,);
             air (10,): ambient, diffuse, shadow depth, fog per metre, fog RGB, light RGB;
             sky_matrix (3, 4), sky_colours (9,), sky_pattern (6,); times (S,).
    Units:   metres, seconds; instance 0 is the surroundings; moving is true for solids that move in the clip.
    Frame:   OpenCV (y down); the world's ground is y = 0.
    """

    world_from_local: Tensor
    kind: Tensor
    instance: Tensor
    moving: Tensor
    length: Tensor
    paint_matrix: Tensor
    colours: Tensor
    pattern: Tensor
    cam_from_world: Tensor
    K: Tensor
    light: Tensor
    air: Tensor
    sky_matrix: Tensor
    sky_colours: Tensor
    sky_pattern: Tensor
    times: Tensor
    counts: tuple[int, ...]
    height: int
    width: int
    seed: int


@dataclass(frozen=True)
class Weather:
    """Light position (3,) in metres, `air` (10,) as in Scene, and the paint of the sky."""

    light: Array
    air: Array
    sky: Paint


# Turns that take a plane's own axes (across, normal, up or ahead) to the world's, named by where the plane looks.
_UP = np.array([[1.0, 0.0, 0.0], [0.0, -1.0, 0.0], [0.0, 0.0, -1.0]])
_DOWN = np.eye(3)
_RIGHT = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
_LEFT = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])
_AHEAD = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
_BACK = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


Row = tuple[Part, Body, int, Paint]  # a solid, whose it is, of which instance, and how it is painted


def _plane(turn: Array, point: tuple[float, float, float], material: str) -> Body:
    return Body((Part(PLANE, np.ones(3), material=material),), 0.0, path=BodyPath(np.array(point), start=turn))


def shell(half: Array, tall: float, ground: str, finish: str) -> list[Body]:
    """Floor, ceiling and four walls of a room about the origin; half (2,) along x and z, tall, all in metres."""
    x, z = half.tolist()
    floor, ceiling = _plane(_UP, (0.0, 0.0, 0.0), ground), _plane(_DOWN, (0.0, -tall, 0.0), "ceiling")
    sides = [_plane(_RIGHT, (-x, 0.0, 0.0), finish), _plane(_LEFT, (x, 0.0, 0.0), finish)]
    ends = [_plane(_AHEAD, (0.0, 0.0, -z), finish), _plane(_BACK, (0.0, 0.0, z), finish)]
    return [floor, ceiling, *sides, *ends]


def space_of(half: Array, tall: float) -> Stage:
    """The stage of a room about the origin; half (2,) along x and z, tall, all in metres."""
    x, z = half.tolist()
    return Stage(np.array([-x, -tall, -z]), np.array([x, 0.0, z]), False)


def _surroundings(draw: Draw, config: WorldConfig) -> tuple[list[Body], Stage]:
    """Ground and walls, and the stage between them."""
    outdoor = config.environment == "outdoor" or (config.environment == "mixed" and draw.chance(0.4))
    ground = draw.choice(("grass", "paving", "asphalt", "sand") if outdoor else FLOORS)
    if outdoor:
        low, high = np.array([-9.0, -5.0, -4.0]), np.array([9.0, 0.0, 14.0])
        return [_plane(_UP, (0.0, 0.0, 0.0), ground)], Stage(low, high, True)
    half, tall = room_size(draw)
    return shell(half, tall, ground, draw.choice(FINISHES)), space_of(half, tall)


def room_size(draw: Draw) -> tuple[Array, float]:
    """Half a room's length along x and z (2,), and how high it is, in metres."""
    half = np.array([draw.uniform(1.8, 4.0), draw.uniform(2.2, 5.0)])
    return half, draw.uniform(2.3, 3.6)


def _camera(draw: Draw, config: WorldConfig, stage: Stage) -> Camera:
    if stage.outdoor:
        return camera_path(draw, config, np.array(OUTDOORS_LOW), np.array(OUTDOORS_HIGH))
    low, high = stage.low + WALL_MARGIN_M, stage.high - WALL_MARGIN_M
    return camera_path(draw, config, low, np.array([high[0], min(high[1], -LOWEST_CAMERA_M), high[2]]))


def _light(draw: Draw, config: WorldConfig, stage: Stage) -> Array:
    if stage.outdoor:
        angle, up = draw.uniform(0, 2 * math.pi), draw.uniform(0.5, 1.3)
        level = SUN_M * math.cos(up)
        return np.array([level * math.cos(angle), -SUN_M * math.sin(up), level * math.sin(angle)])
    spread = np.array([draw.uniform(0.15, 0.85), 0.0, draw.uniform(0.15, 0.85)])
    place: Array = stage.low + (stage.high - stage.low) * spread
    place[1] = stage.low[1] + 0.15
    return place


# Zenith and haze of a clear, a bright, an overcast and an evening sky.
_SKIES = (
    ((0.33, 0.55, 0.88), (0.82, 0.89, 0.95)),
    ((0.47, 0.68, 0.93), (0.9, 0.93, 0.95)),
    ((0.68, 0.72, 0.77), (0.86, 0.87, 0.88)),
    ((0.5, 0.57, 0.8), (0.97, 0.85, 0.74)),
)
_WARM, _COOL = np.array([1.1, 1.02, 0.9]), np.array([0.95, 1.0, 1.08])


def draw_weather(draw: Draw, config: WorldConfig, stage: Stage) -> Weather:
    """Light, air and sky over a stage."""
    ambient, shadow = draw.uniform(0.4, 0.58), draw.uniform(0.6, 1.0) * config.shadows
    diffuse = draw.uniform(0.5, 0.7)
    if not config.lights:
        ambient, diffuse, shadow = 1.0, 0.0, 0.0
    fog = draw.within(config.fog)
    zenith, haze = draw.choice(_SKIES)
    haze_here = near_colour(draw, haze, 0.05)
    warmth = draw.unit()
    tint = warmth * _WARM + (1 - warmth) * _COOL if config.lights else np.ones(3)
    air = np.array([ambient, diffuse, shadow, fog, *haze_here, *tint])
    matrix = np.zeros((3, 4))
    matrix[:, :3] = 3.0 * np.diag([1.0, 2.5, 1.0])
    matrix[:, 3] = draw.vector(0, 32)
    blue = near_colour(draw, zenith, 0.08)
    colours = np.array([*blue, *haze_here, *blue])
    sky = Paint(matrix, colours, np.array([0.0, 0.0, 0.0, 1.0, 0.05, 3.0]))
    return Weather(_light(draw, config, stage), air, sky)


def sample_scene(seed: int, config: WorldConfig | None = None) -> Scene:
    """The scene of a seed: the same numbers on every machine, whatever renders it.

    Raises:  UserError for knobs that no world can have (when the WorldConfig is made).
    """
    config = config or WorldConfig()
    draw = Draw(seed)
    walls, stage = _surroundings(draw, config)
    camera = _camera(draw, config, stage)
    # What moves chooses its places first, so that it fills the share of the picture that is asked for.
    place = cast(draw, Place(config, stage, camera))
    furnish(draw, place)
    weather = draw_weather(draw, config, stage)
    return assemble(dressed(draw, config, walls, place.bodies), camera, weather, config, seed)


def dressed(draw: Draw, config: WorldConfig, walls: list[Body], bodies: list[Body]) -> list[Row]:
    """The solids of walls (instance 0) and bodies (1 and up), painted."""
    rows: list[Row] = []
    shared: dict[str, Paint] = {}
    for number, body in enumerate(walls + bodies):
        surface = number < len(walls)
        # The walls of a room are of one paint; a body's parts of one material are, too.
        paints = shared if surface else {}
        for part in body.parts:
            if part.material not in paints:
                paints[part.material] = dress(draw, part, config.texture_detail, flat=surface)
            rows.append((part, body, max(0, number - len(walls) + 1), paints[part.material]))
    return rows


def assemble(rows: list[Row], camera: Camera, weather: Weather, config: WorldConfig, seed: int) -> Scene:
    """A Scene from solids, a camera and the weather.

    Note:    this is the way to a scene made by hand; `sample_scene` ends here too.
    """

    def real(values: object) -> Tensor:
        return torch.from_numpy(np.asarray(values, dtype=np.float64).copy())

    parts, bodies, numbers, paints = zip(*sorted(rows, key=lambda row: row[0].kind), strict=True)
    kinds = [part.kind for part in parts]
    placed = place_parts(list(zip(parts, bodies, strict=True)), camera.times)
    values: dict[str, Any] = {"world_from_local": real(placed), "length": real([part.length for part in parts])}
    values |= {"kind": torch.tensor(kinds), "instance": torch.tensor(numbers)}
    values["moving"] = torch.tensor([body.moving for body in bodies])
    values["paint_matrix"] = real([paint.matrix for paint in paints])
    values["colours"] = real([paint.colours for paint in paints])
    values["pattern"] = real([paint.pattern for paint in paints])
    for name in ("cam_from_world", "K", "times"):
        values[name] = real(getattr(camera, name))
    for name in ("matrix", "colours", "pattern"):
        values[f"sky_{name}"] = real(getattr(weather.sky, name))
    values |= {"light": real(weather.light), "air": real(weather.air)}
    counts = tuple(kinds.count(kind) for kind in range(KINDS))
    return Scene(**values, counts=counts, height=config.height, width=config.width, seed=seed)
