"""Checkpoints: whole or absent, kept as asked, refused by name when damaged."""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import Any

import pytest
import torch

from page4d.schema import UserError
from page4d.train import checkpoints as module
from page4d.train.checkpoints import Checkpoints


def payload(step: int) -> dict[str, Any]:
    return {"model": {"w": torch.full((50_000,), float(step))}, "step": step}


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def test_keeps_the_last_and_the_best(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, keep=2)
    for step, best in ((1, False), (2, True), (3, False), (4, False), (5, False)):
        store.save(payload(step), step, metric=0.1 if best else None, best=best)
    assert [e.step for e in store.manifest().entries] == [2, 4, 5]
    assert files(tmp_path) == ["manifest.json", "step_00000002.pt", "step_00000004.pt", "step_00000005.pt"]
    assert store.manifest().best is not None
    assert store.load()["step"] == 5
    assert store.load(2)["model"]["w"][0] == 2.0
    store.save(payload(6), 6, metric=0.05, best=True)
    assert [(e.step, e.best) for e in store.manifest().entries] == [(5, False), (6, True)]


def test_split_files_come_back_whole(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    store.max_shard_bytes = 60_000
    entry = store.save(payload(7), 7)
    assert len(entry.files) == 4
    assert all(f.bytes <= 60_000 for f in entry.files)
    assert torch.equal(store.load(7)["model"]["w"], payload(7)["model"]["w"])


@pytest.mark.parametrize("damage", ["flip", "cut", "remove"])
def test_damaged_file_is_refused_by_name_and_the_one_before_offered(tmp_path: Path, damage: str) -> None:
    store = Checkpoints(tmp_path)
    store.save(payload(1), 1)
    store.save(payload(2), 2)
    path = tmp_path / "checkpoints" / "step_00000002.pt"
    content = bytearray(path.read_bytes())
    if damage == "flip":
        content[len(content) // 2] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[:-10])
    else:
        path.unlink()
    with pytest.raises(UserError, match=r"step 2 is corrupt: .*step_00000002\.pt.*trainer\.resume=1"):
        store.load()
    assert store.load(1)["step"] == 1


def test_no_whole_checkpoint_left(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    with pytest.raises(UserError, match="holds no checkpoint"):
        store.load()
    store.save(payload(1), 1)
    (tmp_path / "checkpoints" / "step_00000001.pt").unlink()
    with pytest.raises(UserError, match="there is none before it"):
        store.load()
    with pytest.raises(UserError, match=r"no checkpoint of step 9 .* \[1\]"):
        store.load(9)


def test_damaged_manifest(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    store.save(payload(1), 1)
    manifest = tmp_path / "checkpoints" / "manifest.json"
    manifest.write_text(json.dumps({"format": 99, "entries": []}))
    with pytest.raises(UserError, match="format 99"):
        store.manifest()
    for text in (b"{", b"\xff", b"[]", b"[" * 100_000, b'{"format": 1, "entries": [{"step": "x", "files": []}]}'):
        manifest.write_bytes(text)
        with pytest.raises(UserError, match="damaged"):
            store.manifest()


def test_full_disk_leaves_the_previous_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Checkpoints(tmp_path)
    store.save(payload(1), 1)
    passed = {"bytes": 0}
    original = module._Splitter._write

    def limited(self: Any, data: Any) -> int:
        passed["bytes"] += len(data)
        if passed["bytes"] > 100_000:
            raise OSError(errno.ENOSPC, "No space left on device")
        return original(self, data)

    monkeypatch.setattr(module._Splitter, "_write", limited)
    with pytest.raises(UserError, match=r"step 2.*No space left on device.*before are untouched"):
        store.save(payload(2), 2)
    monkeypatch.undo()
    assert files(tmp_path) == ["manifest.json", "step_00000001.pt"], "nothing half-written stays"
    assert store.load()["step"] == 1


def test_leftovers_of_a_kill_are_swept(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path)
    store.save(payload(1), 1)
    folder = tmp_path / "checkpoints"
    for name in (".step_00000002.pt.abc123.part", "step_00000002.pt", ".manifest.json.x1.part"):
        (folder / name).write_bytes(b"half")
    (folder / "notes.txt").write_text("mine")
    assert store.load()["step"] == 1, "what the manifest does not list does not exist"
    store.save(payload(3), 3)
    assert files(tmp_path) == ["manifest.json", "notes.txt", "step_00000001.pt", "step_00000003.pt"]


def test_rewind_forgets_what_came_later(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path, keep=5)
    for step in (1, 2, 3):
        store.save(payload(step), step)
    store.rewind(2)
    assert [e.step for e in store.manifest().entries] == [1, 2]
