"""What a synthetic world may look like: one frozen dataclass of knobs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from page4d.schema import UserError
from page4d.settings import check_values

Range = float | tuple[float, float]
Environment = Literal["room", "outdoor", "mixed"]
SMALLEST_SIDE = 8
# Stored results name this: seeds of another version draw other scenes under the same split names.
WORLD_VERSION = 2


def as_range(value: Range) -> tuple[float, float]:
    """A knob as (low, high): a single number means both."""
    return (float(value), float(value)) if isinstance(value, (int, float)) else (float(value[0]), float(value[1]))


@dataclass(frozen=True)
class WorldConfig:
    """Knobs of the synthetic world. A pair is a range from which each scene draws.

    Units:   height, width in pixels; camera_speed in m/s (0 is a tripod, 0.5 a slow dolly, 1.4 a walk, 3 a run
             with a handheld's shake); camera_bend in rad/s, how fast the camera's way changes its direction;
             frame_rate in Hz, so neighbouring frames are frame_stride / frame_rate seconds apart; moving_share is
             the wanted share of moving pixels; focal is fx / width; fog is the extinction in 1/m; centre_offset
             moves the principal point, as a share of (W, H).
    Note:    with tripod_chance a camera stands still whatever camera_speed says. camera_stops is how much its speed
             swings about the mean: 0 keeps it, 1 stops and doubles it in turn.
             hanging_share of the bodies hang or float in the air, of any size; the others stand, roll, walk or slide
             on something and have the size of their kind; outdoors a few more static_bodies stand. With coherent, all
             that moves shares one motion: one velocity, one turn, as if the camera had moved the other way.
             moving_bodies is how many are cast; where they cannot cover the moving_share, some more join them.
             version is the world's own: a config of another version is refused, not drawn differently.
             The principal point is (W/2, H/2) unless centre_offset says otherwise, as the pose encoding assumes.
             anisotropy a draws fy / fx from [1/(1+a), 1+a].
    """

    height: int = 112
    width: int = 112
    frames: int = 4
    environment: Environment = "mixed"
    static_bodies: tuple[int, int] = (3, 7)
    moving_bodies: tuple[int, int] = (1, 3)
    moving_share: Range = (0.05, 0.3)
    rigid_weight: float = 1.0
    deforming_weight: float = 0.7
    walker_weight: float = 1.0
    hanging_share: float = 0.2
    coherent: bool = False
    body_speed: Range = (0.3, 1.5)
    camera_speed: Range = (0.0, 2.0)
    camera_bend: Range = (1.0, 3.0)
    camera_stops: Range = (0.0, 1.0)
    tripod_chance: float = 0.1
    frame_rate: float = 10.0
    frame_stride: Range = (1.0, 3.0)
    focal: Range = (0.7, 1.2)
    anisotropy: float = 0.0
    centre_offset: tuple[float, float] = (0.0, 0.0)
    lights: bool = True
    shadows: bool = True
    fog: Range = (0.0, 0.08)
    texture_detail: float = 1.0
    version: int = WORLD_VERSION

    def __post_init__(self) -> None:
        check_values(self, "world: ")
        self._check_size()
        self._check_knobs()
        self._check_chances()

    def _check_size(self) -> None:
        if self.version != WORLD_VERSION:
            raise UserError(
                f"world: version={self.version}; this release draws version {WORLD_VERSION}, "
                "so install the release that made the results to repeat, or leave version out"
            )
        if min(self.height, self.width) < SMALLEST_SIDE:
            raise UserError(
                f"world: size {self.height} x {self.width}; both sides need at least {SMALLEST_SIDE} pixels"
            )
        if self.frames < 1:
            raise UserError(f"world: frames={self.frames}; a clip needs at least 1 frame")

    def _check_knobs(self) -> None:
        for name in _RANGES:
            low, high = as_range(getattr(self, name))
            if not 0 <= low <= high:
                raise UserError(f"world: {name}={getattr(self, name)}; expected 0 <= low <= high")
        if as_range(self.moving_share)[1] > 0.8:
            raise UserError(f"world: moving_share={self.moving_share}; at most 0.8 of the pixels can be asked to move")
        if self.frame_rate <= 0 or as_range(self.frame_stride)[0] <= 0 or as_range(self.focal)[0] <= 0:
            raise UserError("world: frame_rate, frame_stride and focal must be above 0")

    def _check_chances(self) -> None:
        weights = (self.rigid_weight, self.deforming_weight, self.walker_weight)
        if self.moving_bodies[1] > 0 and (min(weights) < 0 or sum(weights) <= 0):
            raise UserError(f"world: body weights {weights}; expected none negative and one positive")
        for name in ("tripod_chance", "hanging_share"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"world: {name}={getattr(self, name)}; expected a probability")
        if as_range(self.camera_stops)[1] > 1:
            raise UserError(f"world: camera_stops={self.camera_stops}; above 1 the camera would run backwards")


_RANGES = (
    "static_bodies",
    "moving_bodies",
    "moving_share",
    "body_speed",
    "camera_speed",
    "camera_bend",
    "camera_stops",
    "frame_stride",
    "focal",
    "fog",
)
