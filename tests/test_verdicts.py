"""Prose and numbers agree: verdicts are made of the numbers, and no chapter types one."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import jupytext
import numpy as np
import pytest
from book_project import ROOT

from page4d.book.site import small_networks
from page4d.evaluate.exact_scores import ClipScores
from page4d.evaluate.exam_results import read_result
from page4d.evaluate.statistics import Effect
from page4d.evaluate.verdicts import (
    KNOWING_NOTHING,
    beside_nothing,
    beside_strongest,
    between,
    clip_effects,
    exam_of,
    marks_text,
    share_learned_text,
    standing,
    standing_text,
)
from page4d.model import PAGE4D
from page4d.schema import Scores, SequenceScore, UserError

EXAMS = sorted((ROOT / "book" / "results" / "builtin").glob("*.json"))
CLIP = ClipScores(abs_rel=0.2, abs_rel_constant=0.4, rotation_deg=2.0, rotation_deg_still=2.02, direction_deg=60.0)


def scores_of(values: dict[str, float | None]) -> Scores:
    """Measured AbsRel by sequence; None for one that failed."""
    sequences = [
        SequenceScore(name, {} if value is None else {"abs_rel": value}, 1.0, error="lost" if value is None else None)
        for name, value in values.items()
    ]
    return Scores("b", 1, "videodepth", {}, {}, tuple(sequences), {"abs_rel": "lower"}, {"abs_rel": ""}, {})


def test_clips_beside_knowing_nothing() -> None:
    effects = beside_nothing([CLIP] * 8)
    assert str(effects["abs_rel"]) == "better by 50 %, interval 50 to 50 %"
    assert effects["rotation"].verdict == "none"
    assert str(effects["rotation"]).startswith("no difference seen (below 2 %)")


def test_two_answers_about_the_same_clips() -> None:
    worse = replace(CLIP, abs_rel=0.25, rotation_deg=1.0)
    effects = clip_effects([worse] * 8, [CLIP] * 8)
    assert str(effects["abs_rel"]) == "worse by 25 %, interval 25 to 25 %"
    assert str(effects["rotation"]) == "better by 50 %, interval 50 to 50 %"


def test_what_failed_in_either_is_left_out_of_both() -> None:
    ours = scores_of({"a": 0.1, "b": None, "c": 0.1, "d": 0.9})
    other = scores_of({"a": 0.2, "b": 0.001, "c": 0.2, "d": None})
    assert between(ours, other, "abs_rel").change == pytest.approx(0.5)


def test_the_strongest_answer_is_the_one_to_beat() -> None:
    ours = scores_of({"a": 0.2, "b": 0.3})
    answers = {"weak": {"a": 0.9, "b": 0.9}, "strong": {"a": 0.1, "b": 0.15}}
    who, found = beside_strongest(ours, answers, "abs_rel")
    assert who == "strong"
    assert str(found) == "worse by 100 %, interval 100 to 100 %"


@pytest.mark.parametrize(
    ("areas", "told"),
    [
        ([0.8, 0.9, 0.85, np.nan], "it marks what moves: right in 0.85"),
        ([0.2, 0.1, 0.15], "it marks what stands still: right in 0.15"),
        ([0.3, 0.7, 0.45, 0.55], "it does not tell what moves: right in 0.50"),
        ([0.511, 0.512, 0.511], "it does not tell what moves: right in 0.51"),
    ],
)
def test_a_mask_is_held_against_chance(areas: list[float], told: str) -> None:
    assert marks_text(areas).startswith(told)


def test_a_mask_that_too_few_clips_can_judge_is_not_judged() -> None:
    assert marks_text([0.9, np.nan]).startswith("whether it tells what moves is not known: 1 of 2 clips")
    assert marks_text([]).startswith("whether it tells what moves is not known: 0 of 0 clips")
    assert "(2 clips, " in marks_text([0.9, np.nan, 0.9])


def test_answers_without_the_score_are_not_the_strongest() -> None:
    ours = scores_of({"a": 0.2, "b": 0.2})
    answers = {"silent": {"a": float("nan"), "b": float("nan")}, "flat": {"a": 0.4, "b": 0.4}}
    assert beside_strongest(ours, answers, "abs_rel")[0] == "flat"
    with pytest.raises(UserError, match="none of the answers silent has abs_rel"):
        beside_strongest(ours, {"silent": answers["silent"]}, "abs_rel")


@pytest.fixture(scope="module")
def book_words() -> str:
    return small_networks()


# One exam always, the others with the slow tests.
IN_WORDS = [pytest.param(f, id=f.stem, marks=[pytest.mark.slow] if i else []) for i, f in enumerate(EXAMS)]


@pytest.mark.parametrize("file", IN_WORDS)
def test_an_exam_in_words_has_the_exams_numbers(file: Path, book_words: str) -> None:
    document = read_result(file)
    text = standing_text(document)
    effects = standing(document)
    assert set(effects) == set(KNOWING_NOTHING)
    for effect in effects.values():
        assert str(effect) in text
    mean, base = document["mean"]["abs_rel"], document["yardsticks"]["constant"]["mean"]["abs_rel"]
    assert effects["abs_rel"].change == pytest.approx(1 - mean / base, abs=1e-3)
    assert f"{document['mean']['direction']:.0f} degrees off" in text
    assert text in book_words


def test_an_exam_belongs_to_its_weights_alone() -> None:
    model = PAGE4D.from_pretrained("tiny")
    found = exam_of(model)
    assert found is not None

    assert found["about"]["label"] == "page4d-tiny"
    assert exam_of(PAGE4D(model.config)) is None


# Comparisons in words that numbers could contradict; where one is needed, code writes it.
OURS = (
    r"(?:(?:this|these|the|our|both|all|no|every|small|built-in) (?:small |built-in )?networks?"
    r"|`(?:page4d|vggt)-tiny[\w-]*`"
    r"|(?:its|their|our|this|the(?: learned| model's| network's)?) (?:masks?|poses?|cameras?|depth|points?|rotations?))"
)
HOW_MUCH = r"(?:(?:now|still|clearly|far|much|slightly|a little|no|nearly|almost|about|roughly|hardly|easily) )*"
TYPED = re.compile(
    r"hardly (?:notice|know)"
    r"|\b0\.\d\d\b (?:of|on) (?:the|what)|by \d+ ?% (?:better|worse)|(?:better|worse) by \d"
    rf"|{OURS} {HOW_MUCH}(?:beats?|outperforms?|wins|loses|improves|helps|harms|hurts|predicts? \w+ (?:better|worse))\b"
    rf"|{OURS} (?:is|are|was|were) {HOW_MUCH}(?:better|worse|as (?:good|bad)|ahead|behind|useless)\b"
    rf"|{OURS} (?:hardly|barely|scarcely|(?:does|do) not (?:help|find|beat|improve))\b"
    r"|(?:\d+ ?%|\d\.\d+|twice|half|(?:two|three|four|ten|\d) times) (?:as (?:good|bad)|better|worse|more accurate)\b"
    r"|\b(?:AUC|AbsRel|RMSE|IoU|ATE|RPE|F-score) (?:of|is|was|falls to|rises to|reaches) (?:about |only |up to )?\d\.\d"
    r"|\bmakes? (?:hardly any|no) difference\b",
    re.IGNORECASE,
)
OPEN = re.compile(r"\?|\b(?:if|whether|then|suppose|would|may|might|could|in general)\b", re.IGNORECASE)
"""What leaves a sentence open: a question, a hypothesis, a condition."""


def typed_verdicts(text: str) -> list[str]:
    """The sentences that settle what a number should."""
    sentences = re.split(r"(?<=[.;?!])\s+", " ".join(text.split()))
    return [sentence for sentence in sentences if TYPED.search(sentence) and not OPEN.search(sentence)]


@pytest.mark.parametrize("source", sorted((ROOT / "notebooks").glob("*.py")), ids=lambda path: path.stem)
def test_no_chapter_types_a_verdict(source: Path) -> None:
    prose = [cell.source for cell in jupytext.read(source).cells if cell.cell_type == "markdown"]
    assert [sentence for text in prose for sentence in typed_verdicts(text)] == []


def test_no_page_types_a_verdict() -> None:
    texts = {path.name: path.read_text() for path in (ROOT / "book").glob("*.md")}
    # What stands in blocks of code is what the code printed; other tests run it.
    prose = {name: re.sub(r"```.*?```", "", text, flags=re.DOTALL) for name, text in texts.items()}
    found = {name: typed_verdicts(text) for name, text in prose.items()}
    assert {name: sentences for name, sentences in found.items() if sentences} == {}


@pytest.mark.parametrize(
    "text",
    [
        "It hardly notices.",
        "The network is better.",
        "It is better by 12 %.",
        "It is right in 0.65 of the pairs.",
        "The mask helps.",
        "These networks beat one constant depth.",
        "`page4d-tiny` is clearly ahead of it.",
        "Its poses are a little worse.",
        "The cameras hardly move.",
        "It is twice as bad as VGGT.",
        "It is 20 % better than before.",
        "It has an AbsRel of 0.19.",
        "Here the mask makes no difference.",
        "The small network does not find it.",
    ],
)
def test_a_typed_verdict_is_found(text: str) -> None:
    assert typed_verdicts(f"Before it. {text} After it.") == [text]


@pytest.mark.parametrize(
    "text",
    ["Does the mask help?", "If the mask helps, it shows.", "It is 20 % longer.", "Everything is as large."],
)
def test_what_is_asked_or_counted_is_no_verdict(text: str) -> None:
    assert typed_verdicts(text) == []


HELPS, NOTHING = Effect(0.10, 0.07, 0.13), Effect(0.004, -0.01, 0.02)
HARMS, UNSURE = Effect(-0.10, -0.13, -0.07), Effect(0.05, -0.02, 0.12)


@pytest.mark.parametrize(
    ("perfect", "learned", "case"),
    [
        (HELPS, Effect(0.05, 0.03, 0.08), "the method works here. Of what a mask could give, 50 % was learned"),
        (HELPS, NOTHING, "the mask was not found. Of what a mask could give, 4 % was learned"),
        (NOTHING, NOTHING, "there was nothing for such a mask to give. By that interval a mask gives at most 2 %;"),
        (HARMS, NOTHING, "there was nothing for such a mask to give. By that interval a mask gives at most 0 %;"),
        (NOTHING, HELPS, "something other than its name says"),
        (UNSURE, NOTHING, "stays open. By that interval a mask gives at most 12 %;"),
    ],
)
def test_the_case_of_a_mask_is_named_by_the_numbers(perfect: Effect, learned: Effect, case: str) -> None:
    told = share_learned_text(perfect, learned)
    assert case in told
    assert ("not defined" in told) is (perfect.verdict != "better")
