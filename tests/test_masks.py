"""Masks of what moves: DAVIS' two layouts, squares with closed forms, foreign masks, the synthetic twin."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from little_benchmarks import small
from PIL import Image
from writers.benchmarks import palette
from writers.scene import save_image

from page4d.cli import main
from page4d.evaluate import open_benchmark
from page4d.evaluate.external import ExternalFiles, convert
from page4d.evaluate.harness import Study
from page4d.evaluate.mask_scoring import moving_evidence
from page4d.evaluate.planted import Planted, plant
from page4d.evaluate.predictions import mask_of
from page4d.evaluate.tables import scores_table
from page4d.schema import Scores, UserError

SIDE, HEIGHT, WIDTH, FRAMES = 20, 48, 64, 4


def square(left: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[10 : 10 + SIDE, left : left + SIDE] = 1
    return mask


def study(year: str, tmp_path: Path, moving: str = "model") -> Study:
    benchmark = replace(open_benchmark(f"mask-davis-{year}"), sequences=("dog",))
    return Study(benchmark, out=tmp_path / "out", root=tmp_path / "davis", moving=moving)


@pytest.fixture
def davis(tmp_path) -> Path:
    for i in range(FRAMES):
        save_image(tmp_path / "davis/JPEGImages/480p/dog" / f"{i:05d}.jpg", np.full((HEIGHT, WIDTH, 3), 90, np.uint8))
    return tmp_path / "davis/Annotations/480p/dog"


def foreign(made: Study, tmp_path: Path, masks: list[np.ndarray]) -> Scores:
    """The masks of another model, from files to Scores."""
    for i, mask in enumerate(masks):
        save_image(tmp_path / "theirs" / "dog" / f"{i:05d}.png", mask * 255)
    files = ExternalFiles("other", masks=tmp_path / "theirs")
    convert(made.sequences(), files, made.predictions("other"), made.benchmark)
    return made.score("other")


def test_shifted_squares_score_the_closed_form_on_davis_2016(davis, tmp_path):
    for i in range(FRAMES):
        save_image(davis / f"{i:05d}.png", square(10) * 255)
    # Half of each square is common: 200 of 600 px. One frame is exact.
    scores = foreign(study("2016", tmp_path), tmp_path, [square(10), *[square(20)] * 3])
    assert scores.mean["region_mean"] == pytest.approx((1 + 3 * 200 / 600) / 4)
    assert scores.mean["region_recall"] == pytest.approx(1 / 4)
    assert scores.sequences[0].items["boundary_mean"][0] == 1
    assert 0 < scores.sequences[0].items["boundary_mean"][1] < 1
    assert scores.better == dict.fromkeys(("region_mean", "region_recall", "boundary_mean"), "higher")
    assert scores_table([scores])["moving"].tolist() == ["model"]


def test_all_objects_of_davis_2017_count_as_one_and_unjudged_pixels_not_at_all(davis, tmp_path):
    truth = square(10) * 3
    truth[12:20, 12:20] = 7
    truth[:, 40:50] = 255
    for i in range(FRAMES):
        palette(davis / f"{i:05d}.png", truth)
    strip = np.zeros((HEIGHT, WIDTH), np.uint8)
    strip[:, 42:48] = 1
    scores = foreign(study("2017", tmp_path), tmp_path, [square(10) | strip] * FRAMES)
    assert scores.mean == {"region_mean": 1.0, "region_recall": 1.0, "boundary_mean": 1.0}


def test_masks_at_another_size_are_brought_to_the_truth(davis, tmp_path):
    for i in range(FRAMES):
        save_image(davis / f"{i:05d}.png", square(12) * 255)
    half = np.asarray(Image.fromarray(square(12)).resize((WIDTH // 2, HEIGHT // 2), Image.Resampling.NEAREST))
    scores = foreign(study("2016", tmp_path), tmp_path, [half] * FRAMES)
    assert scores.mean["region_mean"] > 0.95


def test_an_annotation_that_is_neither_palette_nor_black_and_white_is_told(davis, tmp_path):
    for i in range(FRAMES):
        save_image(davis / f"{i:05d}.png", square(10))
    with pytest.raises(UserError, match=r"00000.png is grey with values up to 1, expected a palette image"):
        foreign(study("2017", tmp_path), tmp_path, [square(10)] * FRAMES)


def test_the_synthetic_twin_knows_what_moves(tmp_path):
    made = Study(small("mask"), out=tmp_path, moving="model")
    plant(made, "exact", Planted())
    assert made.score("exact").mean == {"region_mean": 1.0, "region_recall": 1.0, "boundary_mean": 1.0}
    plant(made, "shifted", Planted(mask_shift_px=3))
    shifted = made.score("shifted")
    ious = []
    for sequence in made.sequences():
        moving = np.stack([sequence.read_motion(image).moving for image in sequence.images])
        rolled = np.roll(moving, 3, axis=-1)
        union = (moving | rolled).sum((1, 2))
        ious.append(np.where(union, (moving & rolled).sum((1, 2)) / np.maximum(union, 1), 1.0).mean())
    assert shifted.mean["region_mean"] == pytest.approx(np.mean(ious))
    assert shifted.mean["region_mean"] < 0.95


def test_a_mask_is_the_models_the_geometric_one_or_a_mistake(tmp_path):
    made = Study(small("mask", sequences=1), out=tmp_path, moving="geometric")
    plant(made, "exact", Planted())
    assert made.score("exact").protocol["moving"] == "geometric"
    assert made.scores_file("exact").name == "mask-synthetic-standard-geometric.json"
    with pytest.raises(UserError, match="choose one of 'geometric', 'model'"):
        replace(made, moving="optical").score("exact")
    blind = replace(made.sequences()[0], read_motion=None)
    prediction = plain_prediction(made)
    with pytest.raises(UserError, match="has no masks of what moves"):
        made.task.score(blind, prediction, made.rules)
    with pytest.raises(UserError, match="no mask of its own"):
        moving_evidence(replace(prediction, mask=None), "model")
    with pytest.raises(UserError, match="moving=model"):
        moving_evidence(replace(prediction, meta={"source": "external"}), "geometric")
    with pytest.raises(UserError, match="only protocol=standard exists"):
        replace(made, protocol=replace(made.protocol, name="public")).score("exact")


def plain_prediction(made: Study):
    from page4d.schema import Prediction

    return Prediction.load(made.predictions("exact") / "scene_00.npz")


def test_a_stored_mask_says_what_moves():
    moving = np.array([[[True, False]]])
    assert ((-mask_of(moving) > 0) == moving).all()


def test_the_command_converts_masks_and_prints_how_to_score_them(davis, tmp_path, capsys):
    for i in range(FRAMES):
        save_image(davis / f"{i:05d}.png", square(10) * 255)
        save_image(tmp_path / "theirs" / "dog" / f"{i:05d}.png", square(10) * 255)
    words = ["benchmark=mask-davis-2016", "benchmark.sequences=[dog]", f"root={tmp_path / 'davis'}"]
    words += [f"out={tmp_path / 'out'}", "label=other"]
    assert main(["evaluate", "convert", *words]) == 2
    assert main(["evaluate", "convert", *words, "--masks", str(tmp_path / "theirs")]) == 0
    command = shlex.split(capsys.readouterr().out.splitlines()[-1])
    assert "moving=model" in command
    assert main(command[1:]) == 0
    assert main(["evaluate", "run", *words, "moving=model", "weights=external:other"]) == 0
    assert main(["evaluate", "predict", *words, "weights=external:other"]) == 2
    assert "run or score them" in (told := capsys.readouterr()).err
    assert told.out.count("| other (external) |") == 2
    assert "| model | 1/1 | 4 | - | - | 1.000 | 1.000 | 1.000 |" in told.out
