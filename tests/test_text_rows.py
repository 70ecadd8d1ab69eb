"""Text files as editors, spreadsheets and PowerShell write them: one content, many forms."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from page4d.cli.prediction_input import parse_intrinsics
from page4d.data.association import read_rows
from page4d.data.datasets.formats import read_table
from page4d.io.names import read_times
from page4d.io.text_rows import text_lines, words_of
from page4d.io.trajectories import read_tum
from page4d.schema import UserError

TUM = "# stamp tx ty tz qx qy qz qw\n0.5 1 2 3 0 0 0 1\n1.5 4 5 6 0 0 0 1\n"
FORMS: dict[str, Callable[[str], bytes]] = {
    "Windows line ends": lambda text: text.replace("\n", "\r\n").encode(),
    "old Macintosh line ends": lambda text: text.replace("\n", "\r").encode(),
    "a byte order mark": lambda text: text.encode("utf-8-sig"),
    "PowerShell": lambda text: text.replace("\n", "\r\n").encode("utf-16"),
    "big endian": lambda text: b"\xfe\xff" + text.encode("utf-16-be"),
    "tabs": lambda text: text.replace(" ", "\t").encode(),
    "commas": lambda text: text.replace(" ", ",").encode(),
    "commas and blanks": lambda text: text.replace(" ", ", ").encode(),
    "no last line end": lambda text: text.rstrip().encode(),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_reader_of_rows_takes_every_form(form: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_bytes(FORMS[form](TUM))
    poses = read_tum(path)
    assert poses.stamps.tolist() == [0.5, 1.5]
    assert poses.positions.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert [row.words[:3] for row in read_rows(path, 7)] == [("1", "2", "3"), ("4", "5", "6")]
    assert read_table(path, 8)[:, 3].tolist() == [3, 6]
    assert read_times(path) == [0.5, 1.5]


@pytest.mark.parametrize(
    "read", [read_tum, read_rows, read_times, lambda path: read_table(path, 8)], ids=["tum", "rows", "times", "table"]
)
@pytest.mark.parametrize("line", ["0,5 1 2 3 0 0 0 1", "0,5;1,0;2,0;3,0;0,0;0,0;0,0;1,0"])
def test_decimal_commas_are_named(read: Callable[[Path], Any], line: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.txt"
    path.write_text(f"{line}\n")
    with pytest.raises(UserError, match=r"line 1: '0,5.* has decimal commas; expected points, as in 0\.5"):
        read(path)


def test_a_list_of_times_alone_names_its_decimal_comma(tmp_path: Path) -> None:
    path = tmp_path / "times.txt"
    path.write_text("0,5\n1,0\n")
    with pytest.raises(UserError, match=r"line 1: '0,5' has a decimal comma"):
        read_times(path)


@pytest.mark.parametrize(
    ("line", "words"),
    [("1,2,3", ["1", "2", "3"]), ("0.5,a.png", ["0.5", "a.png"]), ("1, 2, 3", ["1", "2", "3"]), ("", [])],
)
def test_commas_between_words_stay_commas(line: str, words: list[str]) -> None:
    assert words_of(line, "there") == words


def test_bytes_of_a_name_that_are_no_text_pass_through(tmp_path: Path) -> None:
    path = tmp_path / "names.txt"
    path.write_bytes(b"1 lat\xe9in.png\n")
    assert text_lines(path, "surrogateescape") == ["1 lat\udce9in.png"]


@pytest.mark.parametrize("coding", ["utf-8", "utf-8-sig", "utf-16"])
def test_intrinsics_are_read_in_every_coding(coding: str, tmp_path: Path) -> None:
    path = tmp_path / "k.json"
    path.write_text('{"K": [[100, 0, 56], [0, 90, 42], [0, 0, 1]]}', encoding=coding)
    assert np.array_equal(parse_intrinsics(str(path)), [[100, 0, 56], [0, 90, 42], [0, 0, 1]])
