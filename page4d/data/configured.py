"""Datasets and mixes from plain settings, as conf/data/*.yaml describes them.

One entry is a dataset: `DatasetSettings`. A mix is `datasets` (entries by name) with `shapes`, `look` and `seed`; an
entry that has these itself is a mix of one. Sides of pictures come from the network unless `shapes` says otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from page4d.data.datasets import DATASETS, ClipSelection, DepthRule, SceneDataset, dataset_class
from page4d.data.mixing import Ingredient, Mix, TrainingLook
from page4d.data.sampling import ShapeRule, WindowRule
from page4d.data.transforms import Framing
from page4d.io.fitting import RELEASED_PATCH, RELEASED_SIZE
from page4d.schema import UserError
from page4d.settings import DEFAULT_SEED, Seed, build, near


@dataclass(frozen=True)
class NetworkInput:
    """What pictures a network takes: its width in pixels, and the patch that sides are multiples of."""

    image_size: int = RELEASED_SIZE
    patch_size: int = RELEASED_PATCH


@dataclass(frozen=True)
class DatasetSettings:
    """One dataset: a loader's name, the folder of the download, and how clips are taken from it.

    Note:    `weight` is its share of a mix, of any unit; `options` are those of the loader alone.
    """

    loader: str
    root: str
    split: str | None = None
    weight: float = 1.0
    sequences: tuple[str, ...] | None = None
    min_frames: int | None = None
    depth: DepthRule = field(default_factory=DepthRule)
    windows: WindowRule = field(default_factory=WindowRule)
    framing: Framing = field(default_factory=Framing)
    options: dict[str, Any] = field(default_factory=dict)

    @property
    def selection(self) -> ClipSelection:
        """The part that is opened."""
        return ClipSelection(self.split, self.sequences, self.min_frames, self.depth)

    def open(self, where: str = "data") -> SceneDataset[Any]:
        """Open the dataset.

        Raises:  UserError for an unknown loader or option, and what the loader itself refuses.
        """
        loader = dataset_class(self.loader)
        options = build(loader.options_kind, self.options, f"{where}.options")
        return loader(self.root, self.selection, options)


@dataclass(frozen=True)
class MixSettings:
    """What the clips of a mix have in common; see `ShapeRule`, whose sides are the network's unless given."""

    shapes: dict[str, Any] = field(default_factory=dict)
    look: TrainingLook = field(default_factory=TrainingLook)
    seed: Seed = DEFAULT_SEED

    def shape_rule(self, network: NetworkInput, where: str) -> ShapeRule:
        """The rule for a network.

        Raises:  UserError for another patch size than the network's, and what `ShapeRule` refuses.
        """
        sides = {"image_size": network.image_size, "patch_size": network.patch_size}
        return build(ShapeRule, sides | _given(self.shapes), f"{where}.shapes")


_OF_A_DATASET = tuple(f.name for f in fields(DatasetSettings))
_OF_A_MIX = tuple(f.name for f in fields(MixSettings))
_OF_THE_WORLD = ("batch_size", "world", "curriculum", "first", "clips", "device", "mix")
# Read by whoever trains or checks, not here.
_ELSEWHERE = ("kind", "val")


def _given(values: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are not null: null stands for the default."""
    return {key: value for key, value in values.items() if value is not None}


def _part(values: Mapping[str, Any], names: tuple[str, ...], where: str) -> dict[str, Any]:
    """The settings of these names.

    Raises:  UserError for a key that does not belong here: an entry of a mix has no shapes of its own.
    """
    of_one = ".datasets." in where
    allowed = [*_OF_A_DATASET, "kind"] if of_one else [*_OF_A_DATASET, "datasets", *_OF_A_MIX, *_ELSEWHERE]
    for key in values:
        if key not in allowed:
            of_world = ". It is one of data=synthetic; leave out an experiment that was made for that"
            hint = of_world if key in _OF_THE_WORLD else ""
            raise UserError(f"{where}.{key} is not a setting; near keys: {near(str(key), allowed)}{hint}")
    return {key: value for key, value in _given(values).items() if key in names}


def settings_of(values: Mapping[str, Any], where: str = "data") -> DatasetSettings:
    """One dataset's settings from plain values.

    Raises:  UserError for an unknown key, a missing loader or root, or a value that does not fit.
    """
    chosen = _part(values, _OF_A_DATASET, where)
    if "loader" not in chosen or "root" not in chosen:
        raise UserError(f"{where}: expected loader (one of {', '.join(DATASETS)}) and root (its folder)")
    return build(DatasetSettings, chosen, where)


def dataset_from(values: Mapping[str, Any], where: str = "data") -> SceneDataset[Any]:
    """Open the dataset that an entry describes.

    Raises:  UserError for an unknown key or loader, and what the loader itself refuses, such as a missing folder.
    """
    return settings_of(values, where).open(where)


def ingredient_from(values: Mapping[str, Any], where: str = "data") -> Ingredient:
    """A dataset with its weight, windows and framing."""
    settings = settings_of(values, where)
    return Ingredient(settings.open(where), settings.weight, settings.windows, settings.framing)


def _placed_entries(values: Mapping[str, Any], where: str) -> Iterator[tuple[str, Mapping[str, Any], str]]:
    """Name, entry, and the key under which it stands."""
    if "loader" in values:
        yield str(values["loader"]), values, where
        return
    entries = _given(values.get("datasets") or {})
    if not entries:
        raise UserError(f"{where}: expected datasets (entries by name), or loader and root of a single dataset")
    for name, entry in entries.items():
        if not isinstance(entry, Mapping):
            raise UserError(f"{where}.datasets.{name} is {entry!r}; expected the settings of a dataset")
        yield str(name), entry, f"{where}.datasets.{name}"


def open_ingredients(values: Mapping[str, Any], where: str = "data") -> dict[str, Ingredient]:
    """Every dataset of a mix by name. Those with weight 0 are not opened, so their data need not be there.

    Raises:  UserError for an unknown key or value, naming it, or a dataset that cannot be opened.
    """
    opened = {}
    for name, entry, place in _placed_entries(values, where):
        settings = settings_of(entry, place)
        if settings.weight != 0:
            dataset = settings.open(place)
            opened[name] = Ingredient(dataset, settings.weight, settings.windows, settings.framing)
    return opened


def mix_from(
    values: Mapping[str, Any],
    where: str = "data",
    name: str = "mix",
    network: NetworkInput | None = None,
) -> Mix:
    """The mix that settings describe, for a network's size of pictures.

    Raises:  UserError as `open_ingredients`, and for shapes that the network cannot take.
    """
    common = build(MixSettings, _part(values, _OF_A_MIX, where), where)
    shapes = common.shape_rule(network or NetworkInput(), where)
    if network is not None and shapes.patch_size != network.patch_size:
        raise UserError(
            f"{where}.shapes.patch_size is {shapes.patch_size}, the network has patches of {network.patch_size} px; "
            "leave it null to take the network's"
        )
    return Mix(open_ingredients(values, where), shapes, common.look, common.seed, name)
