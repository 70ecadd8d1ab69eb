"""Lines of text files as people's programs leave them: any line ends, byte order marks, commas between words."""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from pathlib import Path

from page4d.places import MOST_TEXT, bytes_of
from page4d.schema import UserError

# What Windows' own editors and PowerShell's `>` write; without a mark it is UTF-8.
_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
_DECIMAL_COMMA = re.compile(r"(?<=\d),(?=\d)")


def text_lines(path: Path, errors: str = "replace") -> list[str]:
    """The lines of a text file, whatever ends them and whichever mark it begins with.

    Raises:  UserError for what is no plain file, cannot be read or is larger than any table.
    """
    try:
        data = bytes_of(path, MOST_TEXT)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}; expected a text file") from error
    coding = next((name for mark, name in _MARKS.items() if data.startswith(mark)), "utf-8")
    return data.decode(coding, errors).splitlines()


def entries(path: Path, errors: str = "replace") -> Iterator[tuple[int, str]]:
    """The lines that say something with their numbers, from 1: empty ones and those that begin with # are left out."""
    for number, line in enumerate(text_lines(path, errors), 1):
        if line.strip() and not line.lstrip().startswith("#"):
            yield number, line


def words_of(line: str, place: str) -> list[str]:
    """The words of a line; blanks, tabs and commas stand between them.

    Raises:  UserError that starts with `place` where the commas are those of numbers such as 0,5, and for bytes that
             are 0, which no text has.
    """
    if "\0" in line:
        raise UserError(f"{place} holds bytes that are 0; is the file damaged, or text of another coding?")
    text = line.strip()
    commas = text.count(",")
    apart = len(text.split()) > 1 or ";" in text
    if commas and apart and len(_DECIMAL_COMMA.findall(text)) == commas:
        raise UserError(f"{place}: {text[:60]!r} has decimal commas; expected points, as in 0.5")
    return text.replace(",", " ").split()
