"""Names that benchmarks and options once had; files written under them are read as if they had today's."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from page4d.metrics import METRICS
from page4d.schema import MALFORMED, Scores, UserError

OPTIONS_ONCE = {"dyncheck_camera": "dycheck_camera", "alignment": "solver"}


def current_name(name: str) -> str:
    """Today's name of a benchmark or data set: `synthetic-pose` was `pose-synthetic`, `dyncheck` is `dycheck`."""
    turned = re.sub(r"^synthetic-(\w+)$", r"\1-synthetic", name)
    return turned.replace("dyncheck", "dycheck")


def former_name(name: str) -> str:
    """What a benchmark was called before; its own name if it never changed."""
    turned = re.sub(r"^(\w+)-synthetic$", r"synthetic-\1", name)
    return turned.replace("dycheck", "dyncheck")


def current_options(values: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a protocol under today's names, also within the protocol's own name ("standard+solver=public")."""
    current = {OPTIONS_ONCE.get(name, name): value for name, value in values.items()}
    if isinstance(own := current.get("name"), str):
        for once, now in OPTIONS_ONCE.items():
            own = own.replace(f"+{once}=", f"+{now}=")
        current["name"] = own
    return current


def current_word(word: str) -> str:
    """An override of the command line, such as `benchmark=synthetic-pose`, under today's names."""
    key, equals, value = word.partition("=")
    if key == "benchmark":
        value = current_name(value)
    for once, now in OPTIONS_ONCE.items():
        key = key.replace(once, now)
    return key + equals + value


def read_scores(path: Path) -> Scores:
    """A Scores file, whatever its benchmark was called when it was written.

    Raises:  UserError if the file is damaged, lacks what tables show, or has scores that this version does not know.
    """
    scores = Scores.load(path)
    try:
        told = ("label", "source", "date", "hardware")
        lacking = [name for name in told if not isinstance(scores.origin.get(name), str)]
        lacking += [] if isinstance(scores.protocol.get("name"), str) else ["the protocol's name"]
        lacking += [] if set(scores.better.values()) <= {"lower", "higher"} else ["which scores are better"]
        unknown = sorted(scores.better.keys() - METRICS.keys())
        current = replace(scores, benchmark=current_name(scores.benchmark), protocol=current_options(scores.protocol))
    except MALFORMED as error:
        raise UserError(f"{path} is not a whole Scores file ({error}); score again") from error
    if lacking:
        raise UserError(f"{path} is not a whole Scores file (it lacks {', '.join(lacking)}); score again")
    if unknown:
        raise UserError(f"{path} has scores that this page4d does not know: {', '.join(unknown)}; score again")
    return current
