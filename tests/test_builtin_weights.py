"""The networks that ship: what their cards and stored exams say is what they do."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from page4d.data import open_views
from page4d.evaluate.exam import Exam, network_rows
from page4d.evaluate.exam_results import SHOWN, read_result
from page4d.inference import predict
from page4d.io.weight_files import BUILTIN_FOLDER, builtin_names
from page4d.model import PAGE4D
from page4d.model.fingerprint import weights_sha256

RESULTS = Path(__file__).parent.parent / "book" / "results" / "builtin"
NAMES = ("vggt-tiny", "page4d-tiny", "page4d-tiny-mask")
MAX_BYTES = 12 * 2**20
EXAMINED = 512


def test_names() -> None:
    assert builtin_names() == ["tiny", "page4d-tiny", "page4d-tiny-mask", "vggt-tiny"]


@pytest.mark.parametrize("name", ["page4d-tiny", pytest.param("page4d-tiny-mask", marks=pytest.mark.slow)])
def test_bfloat16_is_as_near_to_float32_as_we_say(name: str) -> None:
    models = [PAGE4D.from_pretrained(name, precision=precision) for precision in ("float32", "bf16")]
    views = open_views("synthetic", size=models[0].config.img_size, patch=models[0].config.patch_size, frames=6)
    full, half = (predict(model, views.frames) for model in models)
    moved = np.abs(half.depth / full.depth - 1)
    assert 0 < np.median(moved) < 0.001
    assert np.quantile(moved, 0.99) < 0.01
    turned = full.cam_from_world[:, :, :3] @ half.cam_from_world[:, :, :3].swapaxes(1, 2)
    cosine = (np.trace(turned, axis1=1, axis2=2) - 1) / 2
    assert np.degrees(np.arccos(np.clip(cosine, -1, 1))).max() < 0.2


@pytest.mark.parametrize("name", NAMES)
def test_size_card_and_exam_belong_together(name: str) -> None:
    weights = BUILTIN_FOLDER / f"{name}.safetensors"
    assert weights.stat().st_size <= MAX_BYTES
    result = read_result(RESULTS / f"{name}.json")
    assert result["weights_sha256"] == weights_sha256(PAGE4D.from_pretrained(name))
    assert result["n"] == EXAMINED
    card = weights.with_suffix(".md").read_text()
    for found in (result, *result["yardsticks"].values(), *result["also"].values()):
        for score in (name for name in SHOWN if name in result["mean"]):
            assert score not in found["mean"] or f"{found['mean'][score]:.3f}" in card


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_exam_can_be_repeated(name: str) -> None:
    model = PAGE4D.from_pretrained(name)
    exam = Exam().at_side(model.config.img_size)
    rows = network_rows(model, next(exam.batches(exam.split, exam.batch_size)))
    stored = read_result(RESULTS / f"{name}.json")["sequences"]
    for score in ("abs_rel", "abs_rel_moving", "rotation", "relative_rotation", "translation", "direction"):
        ours, theirs = np.array([row[score] for row in rows]), np.array(stored[score][: len(rows)], float)
        np.testing.assert_allclose(ours, theirs, rtol=0.02, atol=2e-3, err_msg=score)


@pytest.mark.parametrize("name", NAMES)
def test_depth_clearly_beats_a_constant(name: str) -> None:
    result = read_result(RESULTS / f"{name}.json")
    assert result["interval"]["abs_rel"][1] < 0.8 * result["interval"]["abs_rel_constant"][0]


@pytest.mark.parametrize("name", NAMES)
def test_the_log_of_every_stage_is_stored(name: str) -> None:
    stages = re.findall(r"^- `(\w+)`: ([\d,]+) of", (BUILTIN_FOLDER / f"{name}.md").read_text(), re.MULTILINE)
    assert stages
    for stage, steps in stages:
        run = read_result(RESULTS.parent / "runs" / f"{stage}.json")["run"]
        assert f"{run['ended']['step']:,}" == steps


@pytest.mark.parametrize("name", NAMES)
def test_cameras_beat_one_that_stands_still(name: str) -> None:
    interval = read_result(RESULTS / f"{name}.json")["interval"]
    assert interval["rotation_ratio"][1] < 0.9
    assert interval["translation_ratio"][1] < 1.0


def test_moving_scenes_in_training_help_on_moving_scenes() -> None:
    before, after = (
        read_result(RESULTS / f"{name}.json")["interval"]["abs_rel"] for name in ("vggt-tiny", "page4d-tiny")
    )
    assert after[1] < before[0]


def test_the_mask_is_on_where_the_name_says_so() -> None:
    assert {name: PAGE4D.from_pretrained(name).aggregator.alpha for name in NAMES} == {
        "vggt-tiny": 0.0,
        "page4d-tiny": 0.0,
        "page4d-tiny-mask": 1.0,
    }
