"""Settings read from the text of their modules: names, types and bounds as the dataclasses there have them."""

from __future__ import annotations

import dataclasses
import re
import typing
from pathlib import Path
from typing import Any

import pytest

from page4d.config import choices
from page4d.evaluate.exam import ExamRequest
from page4d.evaluate.opening import EvaluationSettings
from page4d.schema import UserError
from page4d.settings import build
from page4d.settings_source import said, written, written_table
from page4d.train.settings import Settings
from page4d.train.setup import BASES, DEFAULTS
from page4d.train.words import SETUP, check_run_words
from page4d.world import WorldConfig

KINDS = (*DEFAULTS.values(), *BASES.values(), Settings, WorldConfig, EvaluationSettings, ExamRequest)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_a_dataclass_is_read_as_it_is(kind: type[Any]) -> None:
    check_alike(written(kind.__module__, kind.__name__), kind)


def check_alike(read: Any, kind: type[Any]) -> None:
    ours = {field.name: field for field in dataclasses.fields(read)}
    theirs = {field.name: field for field in dataclasses.fields(kind) if field.init}
    hints = typing.get_type_hints(kind, include_extras=True)
    assert list(ours) == list(theirs)
    for name, field in theirs.items():
        assert _must_be_given(ours[name]) == _must_be_given(field)
        if dataclasses.is_dataclass(hints[name]):
            check_alike(ours[name].type, typing.cast(Any, hints[name]))
        else:
            assert _without_modules(ours[name].type) == _without_modules(hints[name])


def _must_be_given(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _without_modules(hint: Any) -> str:
    return re.sub(r"(\w+\.)+(?=\w)", "", str(hint))


def test_a_table_of_a_module_is_read() -> None:
    assert list(written_table(SETUP, "DEFAULTS")) == list(DEFAULTS)
    assert list(written_table(SETUP, "BASES")) == list(BASES)
    with pytest.raises(LookupError, match="has no table NOTHING"):
        written_table(SETUP, "NOTHING")


def test_names_are_followed_to_where_they_stand() -> None:
    assert written("page4d.train.setup", "Path") is Path
    assert written("page4d.train.settings", "LossConfig") is written("page4d.losses", "LossConfig")
    assert written("page4d.train.setup", "no_such_name") is Any
    assert written("page4d.losses.camera", "Tensor") is Any


def test_bounds_and_nested_types_refuse() -> None:
    settings = written("page4d.train.settings", "Settings")
    build(settings, {"trainer": {"max_steps": 3}, "optim": {"groups": {"all": {"rate": {"peak": "1e-3"}}}}}, "config")
    with pytest.raises(UserError, match="max_steps is 0; expected 1 to"):
        build(settings, {"trainer": {"max_steps": 0}}, "config")
    with pytest.raises(UserError, match=r"rate\.peak is 'x', expected a finite number"):
        build(settings, {"optim": {"groups": {"all": {"rate": {"peak": "x"}}}}}, "config")


def test_what_has_no_value_is_left_out() -> None:
    assert said({"a": None, "b": {"c": None, "d": 0}, "e": ()}) == {"b": {"d": 0}, "e": ()}


@pytest.mark.slow
def test_every_shipped_configuration_is_let_through() -> None:
    for name in choices("experiment"):
        check_run_words([f"experiment={name}"])
    for name in choices("data"):
        check_run_words([f"data={name}"])
