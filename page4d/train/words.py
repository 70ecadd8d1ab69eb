"""The words of `page4d train`, held against the settings as they are written, before torch is imported."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from page4d.config import compose_settings
from page4d.settings import build, defaults_of
from page4d.settings_source import said, written, written_table

SETUP = "page4d.train.setup"


def check_run_words(overrides: Sequence[str]) -> None:
    """Refuse a key that no setting has and a value of another type or out of bounds, of an experiment's file too.

    Note:    what needs more than the text of the settings, such as sizes that fit a network, is refused later.
    Raises:  UserError as `compose_run` and `trainer_from`.
    """
    whole = {place: dataclasses.asdict(kind()) for place, kind in written_table(SETUP, "DEFAULTS").items()}
    bases = {place: defaults_of(kind) for place, kind in written_table(SETUP, "BASES").items()}
    config = said(compose_settings(overrides, defaults=whole | bases))
    settings = written("page4d.train.settings", "Settings")
    build(settings, {field.name: config[field.name] for field in dataclasses.fields(settings)}, "config")
    build(written("page4d.model.config", "PAGE4DConfig"), config["model"], "model")
    if config["data"].get("kind") == "synthetic":
        data = config["data"]
        build(written(SETUP, "SyntheticData"), data, "data")
        build(written("page4d.world.config", "WorldConfig"), data.get("world", {}), "data.world")
