"""The README's measured numbers are those of the stored results, rounded as they are written there."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from book_project import ROOT

from page4d.evaluate import effect, read_result, stored_table
from page4d.evaluate.exam_results import AIMS, parts
from page4d.evaluate.statistics import Table

WORDS = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
NUMBER = rf"(\d[\d,]*(?:\.\d+)?|{'|'.join(WORDS)})"


@cache
def stored(file: str) -> Any:
    return json.loads((ROOT / file).read_text())


@cache
def readme() -> str:
    """The README in one line, so that a sentence is found however it is wrapped."""
    return " ".join((ROOT / "README.md").read_text().split())


def numbers_in(text: str, sentence: str) -> list[str]:
    """The numbers that stand in the place of each # of a sentence; none where the text has no such sentence."""
    found = re.search(re.escape(sentence).replace(r"\#", NUMBER), text, re.IGNORECASE)
    return list(found.groups()) if found else []


def agrees(written: str, measured: float) -> bool:
    """Whether a number is the measured one, to as many places as are written."""
    if written.lower() in WORDS:
        return WORDS.index(written.lower()) == round(measured)
    places = len(written.partition(".")[2])
    return f"{measured:,.{places}f}" == f"{float(written.replace(',', '')):,.{places}f}"


def exam(name: str = "page4d-tiny") -> Any:
    return stored(f"book/results/builtin/{name}.json")


def depth_and_rotation() -> list[float]:
    mean, constant = exam()["mean"], exam()["yardsticks"]["constant"]["mean"]
    depths = [each[f"abs_rel_{part}"] for each in (mean, constant) for part in ("still", "moving")]
    return [exam()["n"], *depths, mean["relative_rotation_ratio"]]


def directions() -> list[float]:
    others = exam()["yardsticks"]
    return [each["mean"]["direction"] for each in (exam(), others["still"], others["classical"])]


def darkness(score: str, part: Any) -> list[float]:
    """A mask's AUC in a part of an exam, and that of calling moving what is dark."""
    return [found["mean"][score] for found in (part, part["yardsticks"]["dark"])]


def rotations(score: str, *others: str) -> list[float]:
    means = [exam()["mean"], *(exam()["yardsticks"][name]["mean"] for name in others)]
    return [mean[score] for mean in means]


def minutes() -> list[float]:
    """Of training, on the processor and on the card."""
    runs = [stored(f"book/results/runs/{path.name}")["run"] for path in (ROOT / "book" / "results" / "runs").glob("*")]
    card = [run["provenance"]["hardware"].startswith("NVIDIA H100") for run in runs]
    seconds = np.array([run["ended"]["seconds"] for run in runs])
    return [seconds[~np.array(card)].sum() / 60, seconds[card].sum() / 60]


def reached() -> list[float]:
    """How many aims there are, and how many of them one of the two networks with a mask reaches."""
    means = [exam(name)["mean"] for name in ("page4d-tiny", "page4d-tiny-mask")]
    met = [any(aim.score in mean and aim.reached(mean[aim.score]) for mean in means) for aim in AIMS]
    # One more aim is no single score: to be ahead of every answer without a network on the harder split.
    return [len(AIMS) + 1, sum(met)]


def geometric() -> list[float]:
    wanted = next(aim for aim in AIMS if aim.score == "geometric_auc")
    return [wanted.limit, exam()["mean"]["geometric_auc"]]


def real_depth() -> list[float]:
    clips = stored("book/results/real/page4d-tiny.json")["clips"]
    return [clips[name][who]["abs_rel"] for who in ("network", "constant", "rows") for name in ("motorcycle", "rgbd5")]


def refined(level: Any) -> list[dict[str, Any]]:
    """The clips that bundle adjustment did not refuse, with errors of one size."""
    rows = stored("benchmarks/results/refine.json")["rows"]
    return [row for row in rows if row["planted"] == level and "refused" not in row]


def mended(level: Any) -> list[float]:
    """Mean errors: degrees before and after, then shares of the path in per cent before and after."""
    turned, moved = np.mean([[row["before"], row["after"]] for row in refined(level)], axis=0).T
    return [*turned, *(100 * moved)]


def planted() -> list[float]:
    degrees_before, degrees_after, path_before, path_after = mended([1.0, 0.05, 0.02])
    return [degrees_before, path_before, degrees_after, path_after]


def worse() -> list[float]:
    rows = refined("tiny")
    (lost,) = [row for row in rows if row["after"][0] > row["before"][0]]
    return [1, len(rows), lost["before"][0], lost["after"][0]]


def kept() -> list[float]:
    """The turns that would have been given to exact cameras."""
    rows = refined([0.0, 0.0, 0.0])
    assert not any(row["taken"] for row in rows)
    turns = [row["turned_deg"] for row in rows]
    return [min(turns), max(turns)]


def refused() -> list[float]:
    rows = stored("benchmarks/results/refine.json")["rows"]
    return [len({row["clip"] for row in rows if "refused" in row})]


def memory() -> list[float]:
    by_frames = {row["frames"]: row for row in stored("benchmarks/results/memory.json")["measured"]["bf16"]}
    needs = [value for frames in (10, 100, 200) for value in (by_frames[frames]["allocated_gb"], frames)]
    return [*needs, by_frames[200]["seconds"]]


def told_the_truth() -> list[float]:
    """Clips, and by how many per cent true masks change the rotation error: to the better, then to the worse."""
    part = stored("benchmarks/results/true_mask.json")["dynamic-hard"]
    answers = part["networks"]["page4d-tiny"]["answers"]
    ships, few, every = (
        np.mean(answers[cut]["relative_rotation"]) for cut in ("shipped", "special_masked", "every_all")
    )
    return [part["clips"], 100 * (1 - few / ships), 100 * (every / ships - 1)]


def trained_with_the_truth() -> list[float]:
    """By how many per cent depth and rotation are better, and direction worse, where all true motion is hidden."""

    def hard(arm: str) -> Table:
        files = sorted((ROOT / "book" / "results" / "study").glob(f"{arm}-seed*.json"))
        seeds = [stored_table(parts(read_result(path))["dynamic-hard"]) for path in files]
        return {name: np.mean([table[name] for table in seeds], 0) for name in seeds[0]}

    masked, plain = hard("true_mask_all_pairs"), hard("all")
    better = [100 * effect(masked, plain, name).change for name in ("abs_rel", "relative_rotation", "direction")]
    return [better[0], better[1], -better[2]]


MEASURED: dict[str, Callable[[], list[float]]] = {
    "(112 px, # M parameters)": lambda: [stored("book/results/runs/tiny_mask_kept.json")["run"]["parameters"] / 1e6],
    "clips for # minutes on one CPU core and # on one H100": minutes,
    "On # moving clips that no training saw, `page4d-tiny` has a median-aligned AbsRel of # on what stands still and # "
    "on what moves, where one constant depth has # and #, and # of a still camera's rotation error": depth_and_rotation,
    "at the same pixels (# against # degrees": lambda: rotations("relative_rotation", "classical"),
    "in the median behind it (# against #), and more so at twice the size (#)": lambda: rotations(
        "relative_rotation_median", "classical", "classical_twice"
    ),
    "in the median # degrees off, where chance is # and classical two-view geometry #": directions,
    "finds what moves with an AUC of #": lambda: [exam("page4d-tiny-mask")["mean"]["mask_auc"]],
    "darkness alone, without a network, has #": lambda: [darkness("mask_auc", exam("page4d-tiny-mask"))[1]],
    "it is behind darkness (# against #)": lambda: darkness("geometric_auc", exam()["also"]["dynamic-hard"]),
    "The mask that geometry gives just misses # (#, by `page4d-tiny`)": geometric,
    "Of # aims # are reached": reached,
    "on # clips of `dynamic-hard` it makes `page4d-tiny`'s rotation # % better on the paper's rows, and # % worse on "
    "all rows of all blocks": told_the_truth,
    "has, on `dynamic-hard`, # % less depth error and # % less rotation error than one trained alike without a mask, "
    "and a direction of motion # % worse": trained_with_the_truth,
    "an AbsRel of # and #, where one constant depth has # and # (and the usual depth of each row of the synthetic "
    "world # and #)": real_depth,
    "planted camera errors of # degrees and # % of the path fall to # and # %": planted,
    "those of `page4d-tiny` from # to # degrees and from # to # %": lambda: mended("tiny"),
    "(# clip of the # gets worse, # to # degrees)": worse,
    "would have turned exact cameras by # to # degrees": kept,
    "# clip whose frames share too few points is refused": refused,
    "takes # GB for # frames of 518 x 336, # GB for # and # GB and # s for #": lambda: [
        *memory()[:5],
        memory()[6],
        memory()[5],
    ],
}


@pytest.mark.parametrize("sentence", MEASURED)
def test_the_readme_says_what_was_measured(sentence: str) -> None:
    written = numbers_in(readme(), sentence)
    assert written, f"the README no longer says: {sentence}"
    measured = MEASURED[sentence]()
    assert len(written) == len(measured)
    wrong = [f"{w} stands for {m:.4g}" for w, m in zip(written, measured, strict=True) if not agrees(w, m)]
    assert wrong == [], sentence


def test_numbers_are_compared_as_they_are_written() -> None:
    assert agrees("0.12", 0.1168)
    assert not agrees("0.12", 0.1268)
    assert agrees("eleven", 10.7)
    assert agrees("1,803", 1803)
    assert numbers_in("One clip of 4.", "# clip of #") == ["One", "4"]
    assert numbers_in("No clip of 4.", "# clip of #") == []
