"""The export formats with their writers, and the one function that writes any of them."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import NamedTuple

from page4d.result.exports.options import ExportOptions
from page4d.result.formats import WRITERS, WriterPlace
from page4d.schema import Prediction, UserError

__all__ = ["FORMATS", "ExportOptions", "export"]

Writer = Callable[[Prediction, Path, ExportOptions], list[Path]]


class Format(NamedTuple):
    """One export format: what writes it, and what it is in a few words."""

    write: Writer
    about: str


def writer_of(place: WriterPlace) -> Writer:
    """The function of a row, imported now."""
    writer: Writer = getattr(import_module(f"page4d.result.exports.{place.module}"), place.function)
    return writer


def _format(place: WriterPlace) -> Format:
    """The format of a row; its writer is imported when it first writes, for some bring large libraries."""

    def write(prediction: Prediction, folder: Path, options: ExportOptions) -> list[Path]:
        return writer_of(place)(prediction, folder, options)

    return Format(write, place.about)


FORMATS = {name: _format(place) for name, place in WRITERS.items()}


def export(
    prediction: Prediction, folder: Path, formats: list[str], options: ExportOptions | None = None
) -> dict[str, list[Path]]:
    """Write a prediction in the named formats into an existing folder.

    Raises:  UserError for an unknown format, nothing valid to write, a missing optional package, or a folder that
             cannot be written. Each file is whole or absent; give a temporary folder for all or nothing.
    """
    unknown = [name for name in formats if name not in FORMATS]
    if unknown or not formats:
        raise UserError(f"export formats {unknown or 'missing'}: choose from {', '.join(FORMATS)}")
    options = options or ExportOptions()
    options.check(prediction)
    prediction = options.applied(prediction)
    return {name: FORMATS[name].write(prediction, folder, options) for name in formats}
