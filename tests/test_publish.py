"""From a finished run to a network that ships."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from page4d.cli import main
from page4d.evaluate.exam import Exam
from page4d.evaluate.exam_results import AIMS, outcomes
from page4d.evaluate.yardsticks import GUESSES, MARKINGS
from page4d.model import PAGE4D
from page4d.schema import UserError
from page4d.train.publish import ancestry, publish_run

EXAM = Exam(
    split="dynamic-val",
    also=("dynamic-test",),
    sequences=4,
    frames=3,
    height=32,
    width=32,
    batch_size=4,
    classical=2,
    classical_twice=1,
    geometric=2,
    frame_counts=(2, 8),
    frame_clips=2,
)


def train(root: Path, name: str, *more: str) -> Path:
    words = [f"paths.root={root}", f"paths.name={name}", "trainer.progress=false", "trainer.max_steps=2", *more]
    assert main(["train", "experiment=smoke", *words]) == 0
    return root / name


def test_publish_tells_the_whole_history(tmp_path: Path) -> None:
    first = train(tmp_path / "runs", "first")
    second = train(tmp_path / "runs", "second", f"start.weights={first}", "start.layer_scale=null")
    moved = (tmp_path / "runs").rename(tmp_path / "elsewhere")
    card = publish_run(moved / "second", "small", tmp_path / "results", EXAM, tmp_path / "builtin")
    text = card.read_text()
    assert text.index("`first`") < text.index("`second`"), "the earlier stage comes first"
    result = json.loads((tmp_path / "results" / "small.json").read_text())
    assert f"| {result['mean']['abs_rel']:.3f} (" in text
    assert "The mask is off" in text
    assert "planned steps of 2 clips" in text, "one process of batch size 2"
    assert "All stages together took 8 looks at clips" in text, "two runs of two steps"
    assert text.count(" wanted; ") == len(AIMS) - 1 + 2, "no mask of its own, and the yardsticks of two splits"
    PAGE4D.from_pretrained(tmp_path / "builtin" / "small.safetensors")
    (moved / "first" / "run.json").unlink()
    with pytest.raises(UserError, match="first holds no finished run"):
        ancestry(moved / second.name)


def test_exact_scores_from_the_command_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    card = tmp_path / "card.md"
    card.write_text("# tiny\n\nKept.\n\n## How good it is\n\nold\n")
    small = ["sequences=2", "batch_size=2", "also=[]", "height=32", "width=32", "frame_counts=[]", "geometric=0"]
    words = ["weights=vggt-tiny", f"out={tmp_path}", f"card={card}", "classical=0", "classical_twice=0", *small]
    assert main(["evaluate", "exact", *words]) == 0
    result = json.loads((tmp_path / "vggt-tiny.json").read_text())
    assert result["yardsticks"].keys() == {*GUESSES, *MARKINGS}
    text = card.read_text()
    assert text.startswith("# tiny\n\nKept.\n\n## How good it is\n\nOn the first 2 clips of `dynamic-test`")
    assert "old" not in text
    assert f"{result['yardsticks']['rows']['mean']['abs_rel']:.3f}" in text
    assert text[text.index("## How") :] == capsys.readouterr().out
    assert main(["evaluate", "exact", "sequenzes=2"]) == 2
    assert "near keys: sequences" in capsys.readouterr().err
    assert main(["evaluate", "exact", "true_mask=maybe"]) == 2
    assert main(["evaluate", "exact", "tiny"]) == 2


def test_only_finished_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--publish", str(tmp_path), "small"]) == 2
    assert "holds no finished run" in capsys.readouterr().err


def test_aims_are_reached_or_missed() -> None:
    at_the_limit = {"about": {"split": "dynamic-test"}, "mean": {aim.score: aim.limit for aim in AIMS}}
    assert all(str(outcome).endswith("reached") for outcome in outcomes(at_the_limit))
    signs = {"abs_rel_still": 1, "abs_rel_moving": 1, "relative_rotation_ratio": 1, "direction": 1}
    beyond = {aim.score: aim.limit + signs.get(aim.score, -1) * 0.001 for aim in AIMS}
    found = outcomes({"about": {"split": "dynamic-test"}, "mean": beyond})
    assert len(found) == len(AIMS)
    assert all(str(outcome).endswith("missed") for outcome in found)
