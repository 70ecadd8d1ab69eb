"""What chapters say of the study's stored results, whatever seeds there are."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from book_project import ROOT

from page4d.evaluate.exam_results import parts, read_result, stored_table
from page4d.evaluate.study_results import STILL_CAMERA, guesses_on, trainings_text
from page4d.schema import UserError

STUDY = sorted((ROOT / "book" / "results" / "study").glob("*.json"))
EXAM = ROOT / "book" / "results" / "builtin" / "page4d-tiny.json"
BY_CLOCK = {
    "hardware": "a card", "precision": "bf16", "clips_per_step": 16, "steps_on_a_batch": 2, "ended_by": "the clock",
}  # fmt: skip


def run(variant: str, seed: int, steps: int, **trained: Any) -> dict[str, Any]:
    about = {"variant": variant, "label": f"the {variant}", "seed": seed, "steps": steps}
    return {"about": about | ({"trained": trained} if trained else {})}


def test_seeds_that_were_trained_alike_share_a_sentence() -> None:
    runs = [run("mask", seed, 290 + 10 * seed, **BY_CLOCK) for seed in (1, 0)]
    other = BY_CLOCK | {"hardware": "two cores", "precision": "no", "ended_by": "its number of steps"}
    runs += [run(arm, 2, 300, **other) for arm in ("mask", "middle")]
    assert trainings_text([*runs, {"about": {"variant": "pretrained", "seed": 0}}]) == (
        "Seeds 0 and 1: 1 arm (*the mask*) on a card in bf16, 290 to 300 steps, ended by the clock: "
        "4,640 to 4,800 looks at 2,320 to 2,400 different clips an arm. "
        "Seed 2: 2 arms on two cores in float32, 300 steps, ended by its number of steps: "
        "4,800 looks at 2,400 different clips an arm."
    )


def test_what_is_not_stored_is_not_told() -> None:
    assert trainings_text([run("mask", 3, 7)]) == "Seed 3: 1 arm (*the mask*) of 7 steps."


def test_an_arm_of_other_seeds_has_its_own_sentence_on_the_same_machine() -> None:
    runs = [run(arm, 2, 300, **BY_CLOCK) for arm in ("mask", "middle")]
    runs += [run("later", seed, 300, **BY_CLOCK) for seed in (0, 1, 2)]
    one, other = trainings_text(runs).split(" an arm. ")
    assert other.startswith("Seed 2: 2 arms on a card")
    assert one.startswith("Seeds 0, 1 and 2: 1 arm (*the later*) on a card")


@pytest.mark.parametrize("path", STUDY, ids=lambda path: path.stem)
def test_arms_stand_beside_guesses_about_the_same_clips(path: Any) -> None:
    exam, arm = parts(read_result(EXAM)), parts(read_result(path))
    for split, part in arm.items():
        table = stored_table(part)
        guesses = guesses_on(exam[split], table)
        still = guesses["still camera"]
        np.testing.assert_allclose(still["relative_rotation"], table[STILL_CAMERA], atol=0.01)
        np.testing.assert_allclose(guesses["one constant depth"]["abs_rel"], table["abs_rel_constant"], atol=1e-3)
        assert {len(rows[STILL_CAMERA]) for rows in guesses.values()} == {len(table[STILL_CAMERA])}


def test_guesses_about_other_clips_are_refused() -> None:
    exam = parts(read_result(EXAM))["dynamic-test"]
    table = {name: values[1:] for name, values in stored_table(exam).items()}
    with pytest.raises(UserError, match="not the 511 clips"):
        guesses_on(exam, table)
