"""From a composed configuration, as plain values, to a Trainer."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from page4d.data.configured import DatasetSettings, MixSettings, NetworkInput, mix_from
from page4d.data.sampling import MAX_IMAGES, MAX_SIDE
from page4d.losses import LossConfig
from page4d.model import PAGE4DConfig
from page4d.schema import UserError
from page4d.settings import Between, Count, CountOrZero, Share, Size, build, change, check_values, defaults_of
from page4d.train.loop import Trainer
from page4d.train.settings import AdamConfig, AidConfig, ClipConfig, GroupConfig, Settings, StartConfig, TrainerConfig
from page4d.train.sources import Curriculum, Lengths, MixSource, Source, SplitMix, SyntheticSource
from page4d.train.validation import Validation
from page4d.world import WorldConfig, split_config

SETTINGS = ("trainer", "optim", "loss", "aid", "start")
# Choices of configuration groups that are the defaults of a dataclass and stand in no file.
DEFAULTS: dict[str, type[TrainerConfig | LossConfig | AidConfig | StartConfig]] = {
    "trainer/default": TrainerConfig,
    "loss/corrected": LossConfig,
    "aid/off": AidConfig,
    "start/default": StartConfig,
}


@dataclass(frozen=True)
class Data:
    """What a run reads: batches to train on and the sets it is validated with."""

    source: Source
    validations: tuple[Validation, ...]


@dataclass(frozen=True)
class ValSplit:
    """A validation set of the synthetic world: the first `batches` x `batch_size` clips of a split."""

    batch_size: Size
    batches: Count
    frames: Size

    def __post_init__(self) -> None:
        check_values(self)


@dataclass(frozen=True)
class SyntheticData:
    """Settings of the synthetic world as training data; conf/data/synthetic.yaml says what has no default here.

    Note:    world holds changes to the split's own settings; clips > 0 is how many scenes there are (0: none is seen
             twice), from number `first` on, whose rendered batches keep=true holds in memory; device "auto" draws
             scenes in the workers and renders them on the device that trains; frames [a, b] draws the length of the
             clips anew for each batch and keeps the number of pictures in it, which is batch_size x world.frames; mix
             names other splits with their share of the batches.
    """

    kind: str
    split: str
    batch_size: Size
    world: dict[str, Any] = field(default_factory=dict)
    curriculum: Curriculum = field(default_factory=Curriculum)
    val: dict[str, ValSplit] = field(default_factory=dict)
    first: Annotated[int, Between(0, 10**15)] = 0
    clips: CountOrZero = 0
    keep: bool = False
    device: Literal["cpu", "auto"] = "cpu"
    frames: tuple[Size, Size] | None = None
    mix: dict[str, Share] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_values(self)


def open_trainer(overrides: Sequence[str]) -> Trainer:
    """The trainer that `page4d train` makes of the same words, such as `experiment=smoke`.

    Raises:  UserError naming the setting that is unknown or does not fit, with near names.
    """
    return trainer_from(compose_run(overrides))


def compose_run(overrides: Sequence[str] = ()) -> dict[str, Any]:
    """The configuration of a run as plain nested values: `conf/` says only what differs from the dataclasses.

    Raises:  UserError naming the wrong key or choice and near ones.
    """
    # A configuration that is composed already needs no Hydra, and a machine that only trains may lack it.
    from page4d.config import compose_settings

    whole = {place: asdict(kind()) for place, kind in DEFAULTS.items()}
    return compose_settings(overrides, defaults=whole | {place: defaults_of(kind) for place, kind in BASES.items()})


def trainer_from(config: Mapping[str, Any]) -> Trainer:
    """Build everything that `conf/config.yaml` describes.

    Raises:  UserError naming the setting that is unknown or does not fit, with near names.
    """
    settings = build(Settings, {name: config[name] for name in SETTINGS}, "config")
    model = model_config(config["model"])
    data = data_from(config["data"], NetworkInput(model.img_size, model.patch_size))
    return Trainer(settings, model, data.source, data.validations, Path(config["paths"]["run"]), config)


def model_config(values: Mapping[str, Any]) -> PAGE4DConfig:
    """The network's shape.

    Raises:  UserError for an unknown field or an impossible shape.
    """
    try:
        return PAGE4DConfig.from_dict(dict(values))
    except (ValueError, TypeError) as error:
        raise UserError(f"model: {error}") from error


def data_from(values: Mapping[str, Any], network: NetworkInput | None = None) -> Data:
    """The data that a `data` group describes, in the sizes that a network takes.

    Raises:  UserError for a kind that is not known, or pictures whose sides are not whole patches.
    """
    kind = values.get("kind")
    if kind not in KINDS:
        raise UserError(f"data.kind is {kind!r}; choose one of {', '.join(KINDS)}")
    return KINDS[str(kind)](values, network)


def _synthetic(values: Mapping[str, Any], network: NetworkInput | None) -> Data:
    data = build(SyntheticData, values, "data")
    if network is not None:
        _check_sides(data, network)
    source: Source = _of_split(data, data.split)
    if data.mix:
        sources = (_of_split(data, data.split), *(_of_split(data, split) for split in data.mix))
        source = SplitMix(sources, (1 - sum(data.mix.values()), *data.mix.values()))
    # A validation set is the split as it is, whatever changes training asks for; only the picture size is shared.
    size = {name: data.world[name] for name in ("height", "width") if name in data.world}
    validations = []
    for split, val in data.val.items():
        seen = _world(split, size | {"frames": val.frames})
        # Drawn scenes are small, so they are kept from one validation to the next; pictures are not.
        drawn = data.device == "auto"
        clips = val.batch_size * val.batches if drawn else 0
        held_out = SyntheticSource(split, seen, val.batch_size, clips=clips, keep=drawn, device=data.device)
        validations.append(Validation(held_out, val.batches))
    return Data(source, tuple(validations))


def _of_split(data: SyntheticData, split: str) -> SyntheticSource:
    world = _world(split, data.world)
    lengths = Lengths(*data.frames, data.batch_size * world.frames) if data.frames else None
    return SyntheticSource(
        split, world, data.batch_size, data.curriculum, data.first, data.clips, data.keep, data.device, lengths
    )


def _world(split: str, changes: Mapping[str, Any]) -> WorldConfig:
    return change(split_config(split), changes, "data.world")


def _check_sides(data: SyntheticData, network: NetworkInput) -> None:
    world = _world(data.split, data.world)
    if world.frames > MAX_IMAGES:
        raise UserError(f"data.world.frames is {world.frames}; expected at most {MAX_IMAGES}")
    for name, side in (("height", world.height), ("width", world.width)):
        if side > MAX_SIDE:
            raise UserError(f"data.world.{name} is {side}; expected at most {MAX_SIDE} pixels")
        if side % network.patch_size:
            raise UserError(
                f"data.world.{name} is {side}; expected a multiple of the network's patch size {network.patch_size}"
            )


def _mixed(values: Mapping[str, Any], network: NetworkInput | None) -> Data:
    """One dataset or a mix, see `page4d.data.configured`; each entry of `val` is one more, with its `batches`."""
    validations = []
    for name, entry in (values.get("val") or {}).items():
        where, batches = f"data.val.{name}", entry.get("batches")
        if not isinstance(batches, int) or batches < 1:
            raise UserError(f"{where}.batches is {batches!r}; expected how many batches are validated, at least 1")
        described = {key: value for key, value in entry.items() if key != "batches"}
        mix = mix_from(described, where, name=str(name), network=network)
        validations.append(Validation(MixSource(mix), batches))
    name = str(values.get("loader", "mix"))
    return Data(MixSource(mix_from(values, "data", name=name, network=network)), tuple(validations))


# What files of conf build on: they say what differs, and what has no default.
BASES: dict[str, type[Any]] = {
    "defaults/synthetic": SyntheticData,
    "defaults/dataset": DatasetSettings,
    "defaults/mix": MixSettings,
    "defaults/network": PAGE4DConfig,
    "defaults/optim": AdamConfig,
    "defaults/group": GroupConfig,
    "defaults/clip": ClipConfig,
}
KINDS: dict[str, Callable[[Mapping[str, Any], NetworkInput | None], Data]] = {
    "synthetic": _synthetic,
    "mix": _mixed,
    "dataset": _mixed,
}
