"""Resuming is exact: whatever kills the run, the losses are those of an unbroken one, bit for bit."""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from training import MICRO, make_trainer, settings

from page4d.schema import UserError
from page4d.train import checkpoints, record
from page4d.train.publish import changes_text
from page4d.train.record import read_scalars
from page4d.train.results import finished_run

MODEL = replace(MICRO, mask_hold_start=2, mask_hold_end=5)
CHOSEN = settings(aid=True, save_every=2, validate_every=3)


def losses(folder: Path) -> list[dict[str, object]]:
    return read_scalars(folder)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, object]]:
    folder = tmp_path_factory.mktemp("unbroken")
    make_trainer(folder, CHOSEN, MODEL).run()
    return losses(folder)


# A child forked from this process would inherit the threads of autograd that a GPU, or an earlier test on fake CUDA
# tensors, has started, and torch refuses to go backward in it. A server that has only imported starts clean ones.
CLEAN = multiprocessing.get_context("forkserver")
CLEAN.set_forkserver_preload(["page4d.train.loop"])


def in_a_child(work: Callable[..., None], *arguments: object) -> int | None:
    """Run in a process of its own, which may be killed; returns its exit code."""
    process = CLEAN.Process(target=work, args=arguments)
    process.start()
    process.join()
    return process.exitcode


def killed_at_record(folder: Path, number: int) -> None:
    """Train until the given record has been written, and die there without any clean-up."""
    written = 0
    original = record.Record.scalars

    def scalars(self: record.Record, *args: object) -> None:
        nonlocal written
        original(self, *args)  # type: ignore[arg-type]
        written += 1
        if written == number:
            self.stream.write('{"phase": "train", "st')  # a line that the kill cut short
            self.stream.flush()
            os.kill(os.getpid(), signal.SIGKILL)

    record.Record.scalars = scalars  # type: ignore[method-assign]
    make_trainer(folder, CHOSEN, MODEL).run()


def killed_while_saving(folder: Path, save: int, place: str) -> None:
    """Die in the middle of writing a checkpoint, or between the file and the manifest that lists it."""
    saves = 0
    store = checkpoints.Checkpoints
    write, listing = checkpoints._Splitter._write, store._list

    def die(*_: object) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    def counted(self: checkpoints.Checkpoints, entry: checkpoints.Entry) -> None:
        nonlocal saves
        saves += 1
        if saves == save and place == "before the manifest":
            die()
        listing(self, entry)
        if saves == save - 1 and place == "in the file":
            passed = 0

            def half(splitter: checkpoints._Splitter, view: memoryview) -> int:
                nonlocal passed
                passed += len(view)
                return die() if passed > 20_000 else write(splitter, view)

            checkpoints._Splitter._write = half  # type: ignore[method-assign]

    store._list = counted  # type: ignore[method-assign]
    make_trainer(folder, CHOSEN, MODEL).run()


SLOW = pytest.mark.slow


@pytest.mark.parametrize("number", [2, 6, *(pytest.param(n, marks=SLOW) for n in (1, 3, 4, 5, 7, 8))])
def test_killed_after_any_record(tmp_path: Path, unbroken: list[dict[str, object]], number: int) -> None:
    assert in_a_child(killed_at_record, tmp_path, number) == -signal.SIGKILL
    outcome = make_trainer(tmp_path, CHOSEN, MODEL).run()
    assert outcome.step == 6
    assert losses(tmp_path) == unbroken


@pytest.mark.parametrize("place", ["in the file", "before the manifest"])
@pytest.mark.parametrize("save", [2, pytest.param(3, marks=SLOW)])
def test_killed_during_a_save(tmp_path: Path, unbroken: list[dict[str, object]], save: int, place: str) -> None:
    assert in_a_child(killed_while_saving, tmp_path, save, place) == -signal.SIGKILL
    assert make_trainer(tmp_path, CHOSEN, MODEL).checkpoints.manifest().entries, "an earlier one is still there"
    make_trainer(tmp_path, CHOSEN, MODEL).run()
    assert losses(tmp_path) == unbroken
    names = {p.name for p in (tmp_path / "checkpoints").iterdir()}
    listed = {f.name for e in checkpoints.Checkpoints(tmp_path).manifest().entries for f in e.files}
    assert names == listed | {"manifest.json"}


def test_going_back_to_an_earlier_step(tmp_path: Path, unbroken: list[dict[str, object]]) -> None:
    keep_all = replace(CHOSEN, trainer=replace(CHOSEN.trainer, keep=9))
    make_trainer(tmp_path, keep_all, MODEL).run()
    back = replace(keep_all, trainer=replace(keep_all.trainer, resume="2"))
    make_trainer(tmp_path, back, MODEL).run()
    assert losses(tmp_path) == unbroken


def test_settings_that_change_on_the_way_are_recorded(tmp_path: Path) -> None:
    def resumed(rate: float, **trainer: Any) -> Any:
        chosen = replace(CHOSEN, trainer=replace(CHOSEN.trainer, keep=9, **trainer))
        make_trainer(tmp_path, chosen, MODEL, config={"optim": {"rate": rate}, "seed": 1}).run()
        return json.loads((tmp_path / "run.json").read_text())

    assert resumed(1.0, max_steps=2)["resumed"] == []
    (once,) = resumed(0.5, max_steps=4)["resumed"]
    assert (once["step"], once["changed"]) == (2, {"optim.rate": [1.0, 0.5]})
    run = resumed(0.5, max_steps=6)
    assert [(e["step"], e["changed"]) for e in run["resumed"]] == [(2, once["changed"]), (4, {})]
    back = resumed(0.25, max_steps=6, resume="2")["resumed"]
    assert [(e["step"], e["changed"]) for e in back] == [(2, {"optim.rate": [1.0, 0.25]})]
    assert changes_text({"resumed": run["resumed"]}) == " At step 2 optim.rate went from 1.0 to 0.5."


@pytest.mark.parametrize("text", ['{"config": {', "[]", "\x00\x00"])
def test_a_damaged_account_of_a_run_is_told(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(UserError, match=r"run\.json is damaged .*; move it away"):
        record.resumptions(tmp_path, 2, {})
    with pytest.raises(UserError, match=r"run\.json is damaged"):
        finished_run(tmp_path)
    (tmp_path / "scalars.jsonl").write_bytes(b'{"step": 1}\n[]\n\xff\x00\n{"step": 2}\n{"st')
    assert read_scalars(tmp_path) == [{"step": 1}, {"step": 2}]


def test_a_finished_run_stays_as_it_is(tmp_path: Path) -> None:
    make_trainer(tmp_path, CHOSEN, MODEL).run()
    before = losses(tmp_path)
    assert make_trainer(tmp_path, CHOSEN, MODEL).run().step == 6
    assert losses(tmp_path) == before


def test_corrupt_checkpoint_is_named_and_the_one_before_works(
    tmp_path: Path, unbroken: list[dict[str, object]]
) -> None:
    make_trainer(tmp_path, CHOSEN, MODEL).run()
    path = tmp_path / "checkpoints" / "step_00000006.pt"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"step_00000006\.pt.*trainer\.resume=4"):
        make_trainer(tmp_path, CHOSEN, MODEL).run()
    four = replace(CHOSEN, trainer=replace(CHOSEN.trainer, resume="4"))
    make_trainer(tmp_path, four, MODEL).run()
    assert losses(tmp_path) == unbroken


def test_checkpoint_of_another_run(tmp_path: Path) -> None:
    make_trainer(tmp_path, settings(max_steps=2)).run()
    with pytest.raises(UserError, match="another architecture: embed_dim is 16 there and 32 here"):
        make_trainer(tmp_path, settings(), replace(MICRO, embed_dim=32)).run()
    with pytest.raises(UserError, match="does not fit this configuration"):
        make_trainer(tmp_path, settings(aid=True)).run()
    with pytest.raises(UserError, match="holds a run"):
        make_trainer(tmp_path, settings(resume="never")).run()
    with pytest.raises(UserError, match="'last'"):
        make_trainer(tmp_path, settings(resume="last")).run()
    with pytest.raises(UserError, match="resume=4, but"):
        make_trainer(tmp_path / "new", settings(resume="4")).run()


def test_checkpoint_holds_what_the_issue_asks_for(tmp_path: Path) -> None:
    trainer = make_trainer(tmp_path, CHOSEN, MODEL)
    trainer.run()
    payload = trainer.checkpoints.load()
    assert payload.keys() == {
        "format", "model", "aid", "optimizer", "position", "rng", "model_config", "config", "provenance"
    }  # fmt: skip
    assert payload["position"]["step"] == 6
    assert payload["config"] == {"note": "test"}
    assert payload["provenance"]["code_revision"]
    assert payload["model"].keys() == trainer.model.state_dict().keys(), "no key is added to the network's own"
    torch.set_rng_state(payload["rng"][0]["torch"])
