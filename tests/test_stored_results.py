"""Measured results that the book draws from: each says where, with what and when it was made."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent
RESULTS = sorted((ROOT / "benchmarks" / "results").glob("*.json"))
UNKNOWN = "not recorded"  # of a measurement from before such things were stored
REVISION = re.compile(r"[0-9a-f]{40}(-changed)?")


def parts_of(stored: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The parts that must say it: every one, or the one that speaks for the file."""
    return {"about": stored["about"]} if "about" in stored else stored


@pytest.mark.parametrize("path", RESULTS, ids=lambda path: path.stem)
def test_every_part_says_where_it_is_from(path: Path) -> None:
    for name, part in parts_of(json.loads(path.read_text(encoding="utf-8"))).items():
        revision = part["code_revision"]
        assert revision == UNKNOWN or REVISION.fullmatch(revision), f"{name}: {revision}"
        assert part["torch"] == UNKNOWN or re.match(r"\d+\.\d+", part["torch"]), name
        assert re.match(r"\d+\.\d+", part["page4d"]), name
        assert re.fullmatch(r"\d{4}-\d\d-\d\d", part["date"]), name
        assert part["hardware"], name


def test_what_was_not_recorded_is_counted() -> None:
    """These three were measured before it was stored; whoever measures them again takes them from the list."""
    lacks = set()
    for path in RESULTS:
        parts = parts_of(json.loads(path.read_text(encoding="utf-8")))
        lacks |= {(path.stem, key) for part in parts.values() for key, value in part.items() if value == UNKNOWN}
    assert lacks <= {("memory", "code_revision"), ("density", "torch"), ("refine", "torch")}
