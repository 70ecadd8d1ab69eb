"""What may be said of a network in words: sentences made of the numbers that they speak of, so that both agree."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from page4d.evaluate.exact_scores import ClipScores
from page4d.evaluate.exam_results import comparisons, read_result
from page4d.evaluate.statistics import SMALLEST_EFFECT, Effect, average_of, effect, interval, shared_sequences
from page4d.metrics import METRICS
from page4d.model import PAGE4D
from page4d.model.fingerprint import weights_sha256
from page4d.schema import Scores, UserError
from page4d.shipped import stored_results

KNOWING_NOTHING = {"abs_rel": "constant", "relative_rotation": "still"}
"""The answer that knows nothing of a clip: one depth for all of it, and a camera that stands still."""
BY_CHANCE_AUC = 0.5
BY_CHANCE_DEG = 90
"""The median angle between the true direction of motion and one drawn at random."""


def beside_nothing(found: Sequence[ClipScores]) -> dict[str, Effect]:
    """Clips' depth beside a map of one value, and their rotation beside a camera that never turns."""
    return {
        "abs_rel": _effect("abs_rel", _column(found, "abs_rel"), _column(found, "abs_rel_constant")),
        "rotation": _effect("rotation", _column(found, "rotation_deg"), _column(found, "rotation_deg_still")),
    }


def clip_effects(ours: Sequence[ClipScores], other: Sequence[ClipScores]) -> dict[str, Effect]:
    """Two answers about the same clips, the depth and the rotation of one beside those of the other."""
    return {
        "abs_rel": _effect("abs_rel", _column(ours, "abs_rel"), _column(other, "abs_rel")),
        "rotation": _effect("rotation", _column(ours, "rotation_deg"), _column(other, "rotation_deg")),
    }


def _column(found: Sequence[ClipScores], name: str) -> NDArray[np.float64]:
    return np.array([getattr(clip, name) for clip in found], dtype=np.float64)


def _effect(metric: str, ours: NDArray[np.float64], other: NDArray[np.float64]) -> Effect:
    return effect({metric: ours}, {metric: other}, metric)


def between(ours: Scores, other: Scores, metric: str) -> Effect:
    """One evaluation beside another of the same sequences, each of which counts the same."""
    shared = shared_sequences(ours, other)
    return _effect(metric, _values(ours, shared, metric), _values(other, shared, metric))


def beside_strongest(
    ours: Scores, answers: Mapping[str, Mapping[str, float]] | Sequence[Scores], metric: str
) -> tuple[str, Effect]:
    """An evaluation beside the best of some answers that need no network; says which one that was.

    Note:    an answer is an evaluation, or has one value for each sequence, by its name; the best is the one with the
             best mean over sequences.
    """
    if not isinstance(answers, Mapping):
        answers = {str(scores.origin["label"]): _by_sequence(scores, metric) for scores in answers}
    means = {}
    for name, found in answers.items():
        known = [value for value in found.values() if math.isfinite(value)]
        if known:
            means[name] = float(np.mean(known))
    if not means:
        raise UserError(f"none of the answers {', '.join(answers)} has {metric}; choose a score that one of them has")
    pick = min if METRICS[metric].better == "lower" else max
    who = pick(means, key=lambda name: means[name])
    values = answers[who]
    shared = [name for name in _by_sequence(ours, metric) if name in values]
    other = np.array([values[name] for name in shared])
    return who, _effect(metric, _values(ours, shared, metric), other)


def _values(scores: Scores, names: Sequence[str], metric: str) -> NDArray[np.float64]:
    of = _by_sequence(scores, metric)
    return np.array([of.get(name, np.nan) for name in names], np.float64)


def _by_sequence(scores: Scores, metric: str) -> dict[str, float]:
    return {q.name: q.values[metric] for q in scores.sequences if metric in q.values}


def marks_text(areas: ArrayLike, what: str = "pixel") -> str:
    """Whether a mask tells what moves from what stands still: clips' AUCs, their mean and its interval beside chance.

    Note:    NaN stands for a clip in which nothing moves, or everything; it does not count.
    """
    given = np.asarray(areas, np.float64).reshape(-1)
    table = {"mask_auc": given[np.isfinite(given)]}
    number = len(table["mask_auc"])
    if number < 2:
        return f"whether it tells what moves is not known: {number} of {len(given)} clips can say so, and it takes two"
    mean, (low, high) = average_of(table, "mask_auc"), interval(table, "mask_auc")
    if low <= BY_CHANCE_AUC <= high or abs(mean - BY_CHANCE_AUC) < SMALLEST_EFFECT:
        told = "it does not tell what moves"
    else:
        told = "it marks what moves" if mean > BY_CHANCE_AUC else "it marks what stands still"
    clips = f"{number} clips, interval {low:.2f} to {high:.2f}"
    return f"{told}: right in {mean:.2f} of all pairs of a moving and a still {what}, where chance is 0.50 ({clips})"


def share_learned_text(perfect: Effect, learned: Effect) -> str:
    """What a perfect mask gives, what a learned one gives, and which case that is, in sentences.

    Note:    both beside the same network without a mask. The share that was learned is a share of what the perfect mask
             gives, so it is told only where that is better; elsewhere the sentence says that there is none.
    """
    can = {"better": "helps", "none": "gives nothing", "worse": "harms", "undecided": "may help or not"}
    does = {"better": "helps", "none": "changes nothing", "worse": "harms", "undecided": "is not decided"}
    told = f"A perfect mask {can[perfect.verdict]} ({perfect}), and the learned one {does[learned.verdict]} ({learned})"
    if perfect.verdict == "better":
        share = learned.change / perfect.change
        found = "the method works here" if learned.verdict == "better" else "the mask was not found"
        return f"{told}: {found}. Of what a mask could give, {100 * share:.0f} % was learned."
    if learned.verdict == "better":
        case = "the learned mask does something other than its name says"
    elif perfect.verdict == "undecided":
        case = "which case this is stays open"
    else:
        case = "there was nothing for such a mask to give"
    at_most = max(0.0, 100 * perfect.high)
    return f"{told}: {case}. By that interval a mask gives at most {at_most:.0f} %; a share learned is not defined."


def exam_of(model: PAGE4D) -> dict[str, Any] | None:
    """The exam that comes with the package for exactly these weights; None if they sat none."""
    hashed = weights_sha256(model)
    documents = (read_result(file) for file in sorted(stored_results("builtin").glob("*.json")))
    return next((document for document in documents if document["weights_sha256"] == hashed), None)


def standing(document: Mapping[str, Any]) -> dict[str, Effect]:
    """A stored exam's network beside the answers that know nothing."""
    return {c.score: c.effect for c in comparisons(document) if KNOWING_NOTHING.get(c.score) == c.yardstick}


def standing_text(document: Mapping[str, Any]) -> str:
    """The same in a sentence, with the direction of motion, on the exam's main split."""
    depth, rotation = (standing(document)[score] for score in KNOWING_NOTHING)
    off, (low, high) = document["mean"]["direction"], document["interval"]["direction"]
    return (
        f"On the {document['n']} clips of its exam, `{document['about']['label']}` beside answers that know nothing: "
        f"depth beside one value for all, {depth}; rotation beside a camera that never turns, {rotation}; the "
        f"direction of motion is {off:.0f} degrees off in the median ({low:.0f} to {high:.0f}), "
        f"where chance is {BY_CHANCE_DEG}."
    )
