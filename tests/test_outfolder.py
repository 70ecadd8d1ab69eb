"""Result folders: an earlier one comes back where the new one cannot take its place, and links in it are somebody's."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from page4d.cli.outfolder import check_out, replace_folder, whole_folder
from page4d.schema import UserError


def test_the_old_folder_comes_back_where_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    new, out = tmp_path / "new", tmp_path / "out"
    for folder in (new, out):
        folder.mkdir()
        (folder / "file").write_text(folder.name)
    rename = Path.rename

    def sometimes(self: Path, target: Path) -> Path:
        if self == new:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", sometimes)
    with pytest.raises(OSError, match="Input/output"):
        replace_folder(new, out)
    assert (out / "file").read_text() == "out"
    assert (new / "file").read_text() == "new"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "out"]


def test_a_link_in_a_result_is_somebodys(tmp_path: Path) -> None:
    out, elsewhere = tmp_path / "out", tmp_path / "elsewhere"
    elsewhere.mkdir()
    with whole_folder(out, False, "marker") as folder:
        for name in ("marker", "points.ply"):
            (folder / name).write_text("ours")
    check_out(out, True, "marker")
    (out / "link").symlink_to(elsewhere)
    with pytest.raises(UserError, match="not of the earlier result: link"):
        check_out(out, True, "marker")
    (out / "link").unlink()
    (out / "points.ply").unlink()
    (out / "points.ply").symlink_to(elsewhere / "points.ply")
    with pytest.raises(UserError, match=r"not of the earlier result: points\.ply"):
        check_out(out, True, "marker")
    assert (out / "points.ply").is_symlink()


def test_a_result_has_the_permissions_that_its_maker_gives(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        with whole_folder(tmp_path / "out", False, "marker") as folder:
            (folder / "marker").touch()
    finally:
        os.umask(old)
    assert (tmp_path / "out").stat().st_mode & 0o777 == 0o700
