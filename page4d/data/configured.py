"""Datasets and mixes from plain settings, as conf/data/*.yaml describes them.

One entry is a dataset: `loader` (a name of `page4d.data.datasets.DATASETS`), `root`, and optionally `split`,
`weight`, `sequences`, `min_frames`, `depth`, `windows`, `framing` and `options` (what only this loader takes). A mix is
`datasets` (entries by name) with `shapes`, `look` and `seed`; an entry that has these itself is a mix of one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from difflib import get_close_matches
from typing import Any, TypeVar

from page4d.data.augmentation import ColourAugmentation
from page4d.data.datasets import DepthRule, SceneDataset, Selection, dataset_class
from page4d.data.mixing import Ingredient, Mix, TrainingLook
from page4d.data.sampling import ShapeRule, WindowRule
from page4d.data.transforms import Framing
from page4d.schema import UserError

T = TypeVar("T")
ENTRY_KEYS = (
    "kind", "loader", "root", "split", "weight", "sequences", "min_frames", "depth", "windows", "framing", "options",
    "shapes", "look", "seed", "val",
)  # fmt: skip
MIX_KEYS = ("kind", "datasets", "shapes", "look", "seed", "val")


def dataset_from(values: Mapping[str, Any], where: str = "data") -> SceneDataset[Any]:
    """Open the dataset that an entry describes.

    Errors:  UserError for an unknown key or loader, and what the loader itself refuses, such as a missing folder.
    """
    _known(values, ENTRY_KEYS, where)
    if "loader" not in values or "root" not in values:
        raise UserError(f"{where}: needed loader (a dataset's name) and root (its folder)")
    loader = dataset_class(str(values["loader"]))
    options = dict(values.get("options") or {})
    common = {name: values[name] for name in ("split", "sequences", "min_frames") if values.get(name) is not None}
    depth = made(DepthRule, values.get("depth"), f"{where}.depth")
    selection = made(Selection, common | {"depth": depth}, where)
    return loader(values["root"], selection, made(loader.options_kind, options, f"{where}.options"))


def ingredient_from(values: Mapping[str, Any], where: str = "data") -> Ingredient:
    """A dataset with its weight, windows and framing."""
    windows = made(WindowRule, values.get("windows"), f"{where}.windows")
    framing = made(Framing, values.get("framing"), f"{where}.framing")
    return Ingredient(dataset_from(values, where), float(values.get("weight", 1.0)), windows, framing)


def entries_of(values: Mapping[str, Any], where: str = "data") -> dict[str, Mapping[str, Any]]:
    """The dataset entries of a mix by name; a single entry is named by its loader."""
    if "loader" in values:
        return {str(values["loader"]): values}
    entries = {str(name): entry for name, entry in (values.get("datasets") or {}).items() if entry is not None}
    if not entries:
        raise UserError(f"{where}: needed datasets (entries by name), or loader and root of a single dataset")
    return entries


def mix_from(values: Mapping[str, Any], where: str = "data", seed: int = 42, name: str = "mix") -> Mix:
    """The mix that settings describe. Entries with weight 0 are not opened, so their data need not be there.

    Errors:  UserError for an unknown key or value, naming it, or a dataset that cannot be opened.
    """
    entries = entries_of(values, where)
    single = "loader" in values
    if not single:
        _known(values, MIX_KEYS, where)
    chosen = {key: entry for key, entry in entries.items() if float(entry.get("weight", 1.0)) != 0}
    place = where if single else where + ".datasets.{}"
    ingredients = {key: ingredient_from(entry, place.format(key)) for key, entry in chosen.items()}
    shapes = made(ShapeRule, values.get("shapes"), f"{where}.shapes")
    return Mix(ingredients, shapes, _look(values.get("look"), f"{where}.look"), int(values.get("seed") or seed), name)


def _look(values: Mapping[str, Any] | None, where: str) -> TrainingLook:
    plain = dict(values or {})
    if plain.get("colour") is not None:
        plain["colour"] = made(ColourAugmentation, plain["colour"], f"{where}.colour")
    return made(TrainingLook, plain, where)


def made(kind: Callable[..., T], values: Mapping[str, Any] | None, where: str) -> T:
    """A dataclass from a mapping of plain values; lists become tuples.

    Errors:  UserError for a key that is no field, or a value that the class refuses.
    """
    plain = dict(values or {})
    _known(plain, [f.name for f in fields(kind)], where)  # type: ignore[arg-type]
    try:
        return kind(**{name: _tuple(value) for name, value in plain.items()})
    except (TypeError, ValueError) as error:
        raise UserError(f"{where}: {error}") from error


def _tuple(value: Any) -> Any:
    return tuple(_tuple(item) for item in value) if isinstance(value, list) else value


def _known(values: Mapping[str, Any], names: Any, where: str) -> None:
    for key in values:
        if key not in names:
            near = ", ".join(get_close_matches(str(key), names, cutoff=0.5)) or "none"
            raise UserError(f"{where}.{key} is not a setting; near: {near}; all: {', '.join(names)}")
