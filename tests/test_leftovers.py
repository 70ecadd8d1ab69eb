"""What a killed run leaves: known by its name, removed by the next run, and an earlier result put back."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from page4d import leftovers
from page4d.cli.outfolder import check_out, whole_folder
from page4d.schema import UserError, atomic_write


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leftovers, "_swept", set())


KILLED = """
import os, signal, sys
from pathlib import Path
from page4d.schema import atomic_write
from page4d.cli.outfolder import whole_folder
here = Path(sys.argv[1])
with atomic_write(here / "a.txt", "w") as stream, whole_folder(here / "result", True, "marker") as folder:
    (folder / "half").write_bytes(b"half")
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_killed_run_is_swept_and_a_living_one_is_not(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", KILLED, str(tmp_path)], check=False)
    assert len(list(tmp_path.glob(".*.part"))) == 2
    mine = tmp_path / f"{leftovers.part_prefix('b')}x.part"
    mine.touch()
    foreign = tmp_path / ".b.elsewhere-1-x.part"
    foreign.touch()
    with atomic_write(tmp_path / "a.txt", "w") as stream:
        stream.write("whole")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["a.txt", mine.name, foreign.name])


def test_an_earlier_result_is_put_back(tmp_path: Path) -> None:
    dead = leftovers.part_prefix("result").replace(str(os.getpid()), "999999999")
    aside = tmp_path / f"{dead}x{leftovers.ASIDE}"
    (aside / "result").mkdir(parents=True)
    (aside / "result" / "marker").write_text("old")
    leftovers.sweep(tmp_path)
    assert (tmp_path / "result" / "marker").read_text() == "old"
    assert not aside.exists()


def test_names_of_250_characters_and_of_any_bytes(tmp_path: Path) -> None:
    for name in ("x" * 250, "ü" * 120, os.fsdecode(b"caf\xe9")):
        with atomic_write(tmp_path / name, "w") as stream:
            stream.write(name)
        with whole_folder(tmp_path / f"{name[:240]}.d", False, "marker") as folder:
            (folder / name).write_bytes(b"")
            (folder / "marker").touch()
        check_out(tmp_path / f"{name[:240]}.d", True, "marker")


def test_a_link_is_written_through(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "a.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to(tmp_path / "real" / "a.txt")
    with atomic_write(tmp_path / "link.txt", "w") as stream:
        stream.write("new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "real" / "a.txt").read_text() == "new"


def test_devices_and_pipes_are_never_replaced(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="folder, device, pipe or socket"), atomic_write(tmp_path / "pipe") as stream:
        stream.write(b"")
    assert stat.S_ISFIFO((tmp_path / "pipe").stat().st_mode)


def test_links_of_others_keep_a_folder_from_being_replaced(tmp_path: Path) -> None:
    with whole_folder(tmp_path / "out", False, "marker") as folder:
        (folder / "marker").touch()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / "mine").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="holds files that are not of the earlier result: mine"):
        check_out(tmp_path / "out", True, "marker")
