"""How a benchmark is run and scored: every choice that moves a published number is one named option.

`PUBLIC` reproduces the released PAGE-4D scripts, quirks included; `STANDARD` is what the field does (CUT3R, MonST3R)
with the defects mended. A table can switch one option at a time: `with_options(STANDARD, depth_source="world_z")`.
What belongs to a dataset is no option: limits of depth such as Sintel's 70 (max_depth, post_clip_max) stand in
conf/benchmark/*-sintel.yaml, and its lists of sequences in conf/dataset/sintel.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, Literal, get_args, get_type_hints

from page4d.evaluate.old_names import current_options
from page4d.schema import UserError

PROTOCOL_VERSION = 1


@dataclass(frozen=True)
class Protocol:
    """One choice for each option of `OPTIONS`, which says what it does and where it comes from."""

    name: str
    input_shape: Literal["squash", "keep_aspect"]
    portrait: Literal["crop", "pad"]
    max_frames: int | None
    dycheck_camera: Literal["all", "0"]
    clamped_depth: Literal["keep", "leave_out"]
    sequences: Literal["public", "all", "fourteen"]
    depth_source: Literal["world_z", "own_camera"]
    registration: Literal["stretch", "box"]
    solver: Literal["public", "converged"]
    pairing: Literal["position", "name"]
    unequal_lengths: Literal["ignore", "error"]
    pair_area: Literal["degrees", "exact"]
    direction_sign: Literal["free", "kept"]
    set_average: Literal["categories", "sequences"]
    version: int = PROTOCOL_VERSION

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values, for json."""
        return asdict(self)

    def input_key(self, task: str) -> dict[str, Any]:
        """The options that decide what the network sees, and so which predictions may be scored under this protocol."""
        names = [name for name, option in OPTIONS.items() if option.of_input and option.concerns(task)]
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True)
class Option:
    """What an option decides, for which tasks (none named = all), and which oddities of the released scripts it covers.

    Note:    `of_input` options decide what the network sees; the oddities' codes stand on the page of differences.
    """

    tasks: tuple[str, ...]
    text: str
    oddities: str = ""
    of_input: bool = False

    def concerns(self, task: str) -> bool:
        """Whether it decides anything for a task."""
        return not self.tasks or task in self.tasks


OPTIONS = {
    "input_shape": Option(
        tasks=(),
        text="squash: resize every image to a square, as the released scripts do; keep_aspect: keep its shape",
        oddities="E5",
        of_input=True,
    ),
    "portrait": Option(
        tasks=(),
        text="images taller than wide: crop keeps the middle rows (75.5 % of 3:4); pad keeps all, on white",
        oddities="E2",
        of_input=True,
    ),
    "max_frames": Option(
        tasks=("videodepth",),
        text="only the first so many frames of a video, or all",
        oddities="E4",
        of_input=True,
    ),
    "dycheck_camera": Option(
        tasks=("pose",),
        text="all: also the still validation cameras, mixed in by name; 0: the moving camera only",
        oddities="E6",
        of_input=True,
    ),
    "clamped_depth": Option(
        tasks=("monodepth", "videodepth", "points"),
        text="DyCheck writes min(depth, 3 m): keep takes 3 m as measured; leave_out takes it as no measurement",
    ),
    "sequences": Option(
        tasks=("videodepth",),
        text="Sintel: public leaves market_5 out (22); all takes 23; fourteen the pose list",
        oddities="E3, E9",
    ),
    "depth_source": Option(
        tasks=("videodepth",),
        text="world_z: z in the first camera's frame; own_camera: z in each frame's own camera",
        oddities="E1, E17",
    ),
    "registration": Option(
        tasks=("monodepth", "videodepth", "points"),
        text="stretch: resize over the whole truth; box: to the pixels that the network saw",
        oddities="E2",
    ),
    "solver": Option(
        tasks=("videodepth",),
        text="how the scale, or scale and shift, is fitted; public: ten rounds of IRLS, which last digits move, or "
        "1000 Adam steps of 0.0001; converged: the L1 minimum",
        oddities="E15, E16, E24",
    ),
    "pairing": Option(
        tasks=("monodepth", "videodepth", "pose"),
        text="position: n-th prediction with n-th truth; name: by frame number or time stamp",
        oddities="E6, E8, E22",
    ),
    "unequal_lengths": Option(
        tasks=("monodepth", "videodepth", "pose"),
        text="ignore: score what pairs up; error: every frame must pair up",
        oddities="E7, E8",
    ),
    "pair_area": Option(
        tasks=("relpose",),
        text="AUC from errors cut to whole degrees, as VGGT's script, up to 1/limit too high; or exact",
    ),
    "direction_sign": Option(
        tasks=("relpose",),
        text="free: the opposite direction of motion counts as right, as in VGGT's script, and no pair is left out; "
        "kept: it is wrong, and pairs of cameras at one place have none",
    ),
    "set_average": Option(
        tasks=("relpose",),
        text="CO3D: categories: each category counts the same, as VGGT's script; sequences: each sequence",
    ),
}

PUBLIC = Protocol(
    name="public",
    input_shape="squash",
    portrait="crop",
    max_frames=120,
    dycheck_camera="all",
    clamped_depth="keep",
    sequences="public",
    depth_source="world_z",
    registration="stretch",
    solver="public",
    pairing="position",
    unequal_lengths="ignore",
    pair_area="degrees",
    direction_sign="free",
    set_average="categories",
)
STANDARD = Protocol(
    name="standard",
    input_shape="keep_aspect",
    portrait="pad",
    max_frames=None,
    dycheck_camera="0",
    clamped_depth="leave_out",
    sequences="all",
    depth_source="own_camera",
    registration="box",
    solver="converged",
    pairing="name",
    unequal_lengths="error",
    pair_area="exact",
    direction_sign="kept",
    set_average="sequences",
)
PROTOCOLS = {"public": PUBLIC, "standard": STANDARD}


def with_options(base: Protocol, **changes: Any) -> Protocol:
    """The protocol with some options changed, by today's names or earlier ones; its own name says which.

    Raises:  UserError for an unknown option or value, with what is allowed.
    """
    changes = current_options(changes)
    for name, value in changes.items():
        _check_option(name, value)
    changed = {name: value for name, value in changes.items() if getattr(base, name) != value}
    suffix = "".join(f"+{name}={value}" for name, value in changed.items())
    return replace(base, name=base.name + suffix, **changed)


def _check_option(name: str, value: Any) -> None:
    if name not in OPTIONS:
        raise UserError(f"protocol option {name!r} does not exist; there are {', '.join(OPTIONS)}")
    if name == "max_frames":
        if value is not None and not (isinstance(value, int) and value > 0):
            raise UserError(f"protocol option {name}={value!r}; expected a positive number or all")
        return
    choices = get_args(get_type_hints(Protocol)[name])
    if value not in choices:
        raise UserError(f"protocol option {name}={value!r}; expected {' or '.join(map(repr, choices))}")


def protocol_of(name: str, options: Mapping[str, Any] | None = None) -> Protocol:
    """A preset by name, with options changed; None leaves an option as it is, `max_frames="all"` lifts the cap."""
    if name not in PROTOCOLS:
        raise UserError(f"protocol {name!r} does not exist; there are {', '.join(PROTOCOLS)}")
    changes = {key: value for key, value in (options or {}).items() if value is not None}
    if changes.get("max_frames") == "all":
        changes["max_frames"] = None
    return with_options(PROTOCOLS[name], **changes)


def differences(task: str, first: Protocol = PUBLIC, second: Protocol = STANDARD) -> dict[str, tuple[Any, Any]]:
    """Options that matter for a task and differ between two protocols: name to both values."""
    names = [f.name for f in fields(Protocol) if f.name in OPTIONS and OPTIONS[f.name].concerns(task)]
    pairs = {name: (getattr(first, name), getattr(second, name)) for name in names}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


def one_at_a_time(task: str, base: Protocol = STANDARD, other: Protocol = PUBLIC) -> dict[str, Protocol]:
    """The base, then the base with each differing option of a task taken from the other, then the other whole.

    The switched ones go by the name of their option, the two ends by their own.
    """
    switched = {name: with_options(base, **{name: pair[1]}) for name, pair in differences(task, base, other).items()}
    return {base.name: base} | switched | {other.name: other}
