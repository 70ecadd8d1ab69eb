"""The measured parts of a model card: an exam beside every answer that needs no network, aims, real pictures."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from page4d.evaluate.exam_results import SHOWN, clips_with, outcomes, parts
from page4d.evaluate.real_pictures import ON_REAL
from page4d.evaluate.tables import markdown, with_interval
from page4d.evaluate.yardsticks import YARDSTICK_TITLES
from page4d.metrics import METRICS
from page4d.schema import UserError, atomic_write
from page4d.version import short_revision

SECTION = "## How good it is"
REAL_SECTION = "## On real pictures"
ANSWER_TITLES = {"network": "this network", **YARDSTICK_TITLES}
OVER_FRAMES = {
    "abs_rel": ("constant", "rows"),
    "relative_rotation": ("still",),
    "direction": ("still", "line", "random"),
    "ate": ("line",),
}
"""Scores that are shown against the number of frames, and the guesses beside each. Lines and random centres do not turn
either, so their rotation is the still camera's."""


def exam_table(part: Mapping[str, Any]) -> pd.DataFrame:
    """One row per score, the network with its 95 % interval and each yardstick that says something about it.

    Note:    `n` stands at a score that fewer clips have, and over a yardstick that saw fewer clips.
    """
    yardsticks = part.get("yardsticks", {})
    rows = []
    for score in SHOWN:
        if score not in part["mean"]:
            continue
        n = clips_with(part, score)
        few = f" (n = {n})" if n < part["n"] else ""
        row = {"": _title(score) + few, "this network": _with_interval(part, score)}
        for name, found in yardsticks.items():
            value = found["mean"].get(score)
            fewer = f" (n = {found['n']})" if found["n"] < part["n"] else ""
            row[YARDSTICK_TITLES[name] + fewer] = "-" if value is None else f"{value:.3f}"
        rows.append(row)
    return pd.DataFrame(rows)


def lengths_table(document: Mapping[str, Any]) -> pd.DataFrame:
    """One row per number of frames of a stored exam: the network with its 95 % interval, beside the guesses.

    Note:    it is empty for an exam without `frames`. ATE is in the mean point distance of a clip and defined for eight
             frames or more.
    """
    rows = []
    for count, part in document.get("frames", {}).items():
        row = {"frames": count}
        for score, guesses in OVER_FRAMES.items():
            row[_title(score)] = _with_interval(part, score)
            for name in guesses:
                value = part["yardsticks"][name]["mean"].get(score)
                row[f"{METRICS[score].heading}, {YARDSTICK_TITLES[name]}"] = "-" if value is None else f"{value:.3f}"
        rows.append(row)
    return pd.DataFrame(rows)


def _with_interval(part: Mapping[str, Any], score: str) -> str:
    if score not in part["mean"]:
        return "-"
    return with_interval(part["mean"][score], *part["interval"][score])


def exam_section(document: Mapping[str, Any]) -> str:
    """The part of a model card that an exam writes: a table per split beside every yardstick, and the aims."""
    about = document["about"]
    lines = [SECTION]
    for split, part in parts(document).items():
        lines += [
            "",
            f"On the first {part['n']} clips of `{split}` ({about['frames']} frames, {about['height']} x "
            f"{about['width']} px, world {about.get('world', 1)}), which no training saw; means, and medians where a "
            "row says so, with 95 % bootstrap intervals over clips. The other columns are answers that need no "
            "network, on the same clips or the first n of them. A score with an n of its own is defined on, or was "
            "measured on, so many clips.",
            "",
            markdown(exam_table(part)).rstrip(),
        ]
    lines += list(_lengths_lines(document))
    lines += ["", "## Aims", "", *(f"- {outcome}." for outcome in outcomes(document)), *_progress_lines(document), ""]
    lines += [f"Measured on {_made(document['provenance'])}.{_later(document)}", ""]
    return "\n".join(lines)


def _lengths_lines(document: Mapping[str, Any]) -> Iterator[str]:
    table = lengths_table(document)
    if len(table):
        clips, split = next(iter(document["frames"].values()))["n"], document["about"]["split"]
        yield ""
        yield (
            f"Against the number of frames, on the first {clips} clips of `{split}`, each from its first frame on; "
            "means (direction: median). So few clips leave wide intervals. ATE is in the mean point distance of a clip."
        )
        yield ""
        yield markdown(table).rstrip()


def _progress_lines(document: Mapping[str, Any]) -> Iterator[str]:
    changes = document.get("last_doubling")
    if changes:
        told = ", ".join(f"{METRICS[score].title} {100 * change:+.0f} %" for score, change in changes.items())
        yield (
            "- What more training would give is drawn in chapter 5 of the book: over the last doubling of the pictures "
            f"seen, on clips of `dynamic-val`, {told}."
        )


def _made(made: Mapping[str, Any]) -> str:
    return f"{made['hardware']}, {made['date']}, code {short_revision(made['code_revision'])}"


def _later(document: Mapping[str, Any]) -> str:
    later = document["about"].get("later", {})
    return "".join(f" {what}: {_made(made)}." for what, made in later.items())


def update_card(card: Path, document: Mapping[str, Any]) -> None:
    """Write a card's part about quality anew from an exam; what stands before it stays.

    Raises:  UserError if the card is missing or has no such part.
    """
    before, _ = _around_exam(card)
    with atomic_write(card, "w") as stream:
        stream.write(before + exam_section(document))


def _around_exam(card: Path) -> tuple[str, str]:
    """A card before its part about quality, and from there on."""
    if not card.is_file() or SECTION not in (text := card.read_text(encoding="utf-8")):
        raise UserError(f"{card} is not a model card with the heading {SECTION!r}; `page4d train --publish` writes one")
    at = text.index(SECTION)
    return text[:at], text[at:]


def real_section(document: Mapping[str, Any]) -> str:
    """The part of a model card about real pictures: a row per clip and score, a column per answer."""
    rows = []
    for clip, answers in document["clips"].items():
        for score in ON_REAL:
            found = {ANSWER_TITLES[name]: values.get(score, math.nan) for name, values in answers.items()}
            rows.append({"": f"{clip}: {_title(score)}"} | found)
    about = (
        "It never saw a photograph. One clip each: examples, no averages. AbsRel is taken after one median "
        "scale; the usual depth of each row is the synthetic world's."
    )
    lines = [REAL_SECTION, "", about, "", markdown(pd.DataFrame(rows)).rstrip(), ""]
    lines += [f"- {clip}: {told}." for clip, told in document["told"].items()]
    lines += [f"- {seen}" for seen in document.get("seen", ())]
    lines += ["", f"Measured on {_made(document['provenance'])}.", ""]
    return "\n".join(lines)


def update_real_part(card: Path, document: Mapping[str, Any]) -> None:
    """Write a card's part about real pictures, before the one about the exam, in place of an older one.

    Raises:  UserError as `update_card`.
    """
    before, exam = _around_exam(card)
    with atomic_write(card, "w") as stream:
        stream.write(before.split(REAL_SECTION)[0] + real_section(document) + "\n" + exam)


def _title(score: str) -> str:
    metric = METRICS[score]
    return f"{metric.title}, degrees" if metric.unit == "deg" else metric.title
