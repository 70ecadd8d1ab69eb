"""Compose configurations from conf/: the one room that knows Hydra."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from page4d.schema import UserError
from page4d.settings import near
from page4d.shipped import shipped


def conf_folder() -> Path:
    """The folder of the configuration files: `conf/` of a checkout, `page4d/conf/` of an installed package.

    Raises:  UserError if neither is there.
    """
    return shipped("conf")


def compose_settings(
    overrides: Sequence[str] = (), config_name: str = "config", defaults: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, Any]:
    """The configuration as plain nested values, every interpolation resolved.

    Note:    `defaults` are choices of a group that no file holds, by names such as `trainer/default`, or what a file
             builds on (`defaults/synthetic`). Hydra changes only what it knows, so whoever owns the settings hands
             over all of them with their values.
    Raises:  UserError naming the wrong key or choice and near ones.
    """
    for place, settings in (defaults or {}).items():
        group, _, name = place.rpartition("/")
        ConfigStore.instance().store(name, dict(settings), group)
    if not (conf_folder() / f"{config_name}.yaml").is_file():
        raise UserError(f"no configuration {config_name!r} in {conf_folder()}")
    _refuse_hydras_own(overrides)
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf_folder()), version_base="1.3"):
        try:
            config = hydra_compose(config_name, overrides=[_quoted(word) for word in overrides])
            values = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        # ValueError is Hydra's word for a number where the name of a choice was expected.
        except (HydraException, OmegaConfBaseException, ValueError) as error:
            raise UserError(_explain(error, overrides, config_name)) from error
        _refuse_invented(overrides, config_name)
    return {str(key): value for key, value in dict(values).items()}  # type: ignore[arg-type]


def _refuse_hydras_own(overrides: Sequence[str]) -> None:
    """Settings of Hydra itself change nothing here, and whoever gave one would believe that it did."""
    for override in overrides:
        if re.match(r"[+~]*hydra\b", override):
            raise UserError(f"{override!r}: Hydra's own settings have no effect here; paths.root says where a run goes")


def _refuse_invented(overrides: Sequence[str], config_name: str) -> None:
    """A setting that `+` adds beside all others is read by nobody."""
    added = [word.lstrip("+").partition("=")[0] for word in overrides if word.startswith("+")]
    known = _known_keys([], config_name) if added else []
    for key in added:
        if key.partition(".")[0] not in known and not _is_group(key.partition("@")[0]):
            raise UserError(f"{key!r} is not a setting; near: {near(key, known)}")


def names_of_dataset(dataset: str, key: str, prefix: str = "") -> list[str]:
    """A list of sequences of conf/dataset, for `${dataset:sintel,fourteen}`; each behind a prefix of its folder's name.

    Raises:  UserError for a data set or list that is not there.
    """
    path = conf_folder() / "dataset" / f"{dataset}.yaml"
    stored: Any = OmegaConf.to_container(OmegaConf.load(path)) if path.is_file() else {}
    if key not in stored:
        raise UserError(f"${{dataset:{dataset},{key}}}: {path} has no list of that name")
    return [prefix + str(name) for name in stored[key]]


OmegaConf.register_new_resolver("dataset", names_of_dataset, replace=True)


def _quoted(override: str) -> str:
    """The override with its value in quotes where Hydra has no other way to say it, as for many file names."""
    key, equals, value = override.partition("=")
    if not equals:
        return override
    try:
        if not OverridesParser.create().parse_override(override).is_sweep_override():
            return override
    except HydraException:
        pass  # a blank before a bracket, an accent, a second equals sign ...: plain text to whoever typed it
    escaped = re.sub(r"(\\*)('|$)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), value)
    return f"{key}='{escaped}'"


def choices(group: str) -> list[str]:
    """What a group offers, such as every experiment: its files, and the defaults that were handed over."""
    files = {path.stem for path in (conf_folder() / group).glob("*.yaml")}
    handed_over = ConfigStore.instance().repo.get(group, {})
    return sorted(files | {Path(name).stem for name in handed_over})


def keys_of(values: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """Every dotted key of nested values."""
    for name, value in values.items():
        yield f"{prefix}{name}"
        if isinstance(value, Mapping):
            yield from keys_of(value, f"{prefix}{name}.")


def check_words(overrides: Sequence[str], config_name: str = "") -> None:
    """Refuse a word that cannot be a setting, before anything is imported or read for it.

    Note:    with `config_name` also a choice or a first part that the defaults of that file in conf/ do not have.
    Raises:  UserError naming it, and near ones.
    """
    for word in overrides:
        if "=" not in word and not word.startswith("~"):
            raise UserError(f"{word!r} is no setting; write key=value, for example experiment=smoke or trainer.seed=1")
        key, equals, value = word.partition("=")
        # An empty folder would be the one that the user is in.
        if equals and not value.strip(" '\""):
            raise UserError(f"{word!r} has no value; is a variable not set? {key}=null says none")
    if config_name:
        _refuse_hydras_own(overrides)
        _refuse_foreign(overrides, config_name)


@contextmanager
def experiments_named(overrides: Sequence[str]) -> Iterator[None]:
    """A refused setting that nobody typed is told with the experiment that makes it and the choice it does not go with.

    Note:    `data=folder` beside an experiment leaves the changes that the experiment's file makes to its own data.
    """
    try:
        yield
    except UserError as error:
        key, _, why = str(error).partition(" ")
        chosen = [word for word in overrides if word.startswith(f"{key.partition('.')[0]}=")]
        for word in overrides:
            if chosen and word.startswith("experiment=") and key in _set_by(word.partition("=")[2]):
                raise UserError(f"{word} sets {key}, which does not go with {chosen[-1]}: it {why}") from error
        raise


def _set_by(experiment: str) -> Iterator[str]:
    """Every dotted key that the file of an experiment, or one that it builds on, gives a value."""
    path = conf_folder() / "experiment" / f"{experiment}.yaml"
    stored: Any = OmegaConf.to_container(OmegaConf.load(path)) if path.is_file() else {}
    for entry in stored.pop("defaults", []):
        if isinstance(entry, str):
            yield from _set_by(entry)
    yield from keys_of(stored)


def _refuse_foreign(overrides: Sequence[str], config_name: str) -> None:
    """What the files alone tell: no such choice of a group, and no such group where all settings stand in groups."""
    whole, groups = _groups_of(config_name)
    for word in overrides:
        key, _, value = word.partition("=")
        plain = key.lstrip("+~")
        first = re.split("[./@]", plain)[0]
        if whole and first not in groups:
            meant = near(plain, [group + plain.removeprefix(first) for group in groups])
            raise UserError(f"{first!r} is not a setting; near: {meant}; all: {', '.join(groups)}")
        chosen = value.strip("'\"")
        # What is no plain word is Hydra's to read.
        if key in groups and re.fullmatch(r"[\w.-]+", chosen):
            offered = sorted({*choices(key), groups[key]} - {"None"})
            if chosen not in (*offered, "null"):
                raise UserError(_no_such_choice(word, chosen, offered))


def _groups_of(config_name: str) -> tuple[bool, dict[str, str]]:
    """The groups of a file's defaults with what each chooses, and whether nothing but groups stands there."""
    stored: Any = OmegaConf.to_container(OmegaConf.load(conf_folder() / f"{config_name}.yaml"))
    entries = [entry for entry in stored["defaults"] if entry != "_self_"]
    named = [entry for entry in entries if isinstance(entry, Mapping)]
    groups = {str(group): str(choice) for entry in named for group, choice in entry.items()}
    return len(named) == len(entries), groups


def _no_such_choice(word: str, value: str, offered: Sequence[str]) -> str:
    return f"{word}: no such choice; near: {near(value, offered)}; all: {', '.join(offered)}"


def _explain(error: Exception, overrides: Sequence[str], config_name: str) -> str:
    first = str(error).splitlines()[0]
    check_words(overrides)
    for override in overrides:
        key, _, value = override.lstrip("+~").partition("=")
        if _is_group(key) and value not in choices(key) and value != "null":
            return _no_such_choice(f"{key}={value}", value, choices(key))
    groups = [o for o in overrides if _is_group(o.lstrip("+~").partition("=")[0])]
    known = _known_keys(groups, config_name)
    for override in overrides:
        key = override.lstrip("+~").partition("=")[0]
        if known and override not in groups and not override.startswith("+") and key not in known:
            if "data.loader" in known and re.match(r"data\.(shapes|look)\.", key):
                return f"{key!r} has no value of its own with a single data set; set it as +{override}"
            if "data.loader" in known and key == "data.batch_size":
                return f"{key!r} is a setting of the synthetic world; with files it is +data.shapes.images_per_batch"
            return f"{key!r} is not a setting; near: {near(key, known)}"
    return f"{first} (in {' '.join(overrides) or config_name})"


def _is_group(key: str) -> bool:
    return "." not in key and bool(choices(key))


def _known_keys(groups: Sequence[str], config_name: str) -> list[str]:
    try:
        config: DictConfig = hydra_compose(config_name, overrides=list(groups))
    except (HydraException, OmegaConfBaseException, ValueError):
        return []
    return list(keys_of(OmegaConf.to_container(config)))  # type: ignore[arg-type]
