"""The words of `page4d evaluate`, held against the settings as they are written, before torch is imported."""

from __future__ import annotations

from collections.abc import Sequence

from page4d.config import compose_settings
from page4d.evaluate.benchmark import Benchmark
from page4d.evaluate.protocol import OPTIONS, STANDARD, protocol_of
from page4d.schema import UserError
from page4d.settings import DEVICES, build, defaults_of
from page4d.settings_source import said, written


def check_evaluation_words(words: Sequence[str]) -> None:
    """Refuse a key that no setting has, a value of another type, and a protocol or choice that does not exist.

    Raises:  UserError as `compose_evaluation` and the settings themselves.
    """
    settings = written("page4d.evaluate.opening", "EvaluationSettings")
    defaults = defaults_of(settings) | {"options": dict.fromkeys(OPTIONS)}
    config = compose_settings(words, "evaluate", {"defaults/evaluation": defaults})
    given = said(config)
    build(settings, given, "evaluate")
    if "device" in given and not DEVICES.fullmatch(given["device"]):
        raise UserError(f"device is {given['device']!r}; expected cpu, cuda, cuda:1, ... or mps")
    Benchmark.from_dict(config["benchmark"])
    protocol_of(given.get("protocol", STANDARD.name), config["options"])
