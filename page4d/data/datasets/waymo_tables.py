"""Rows of a Waymo v2 component, read with pyarrow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from page4d.extras import extras_named
from page4d.schema import UserError


def read_component(path: Path, columns: list[str], where: Any = None) -> list[dict[str, Any]]:
    """Rows of a Parquet file as dictionaries; `where` is a list of (column, operator, value), all must hold.

    Lists come as numpy arrays, because a range image has a million numbers; a missing list is None.

    Raises:  UserError if pyarrow is not installed, or the file is missing, damaged or without a column.
    """
    with extras_named("Waymo (stored as Parquet)"):
        import pyarrow.parquet as parquet
    if not path.is_file():
        raise UserError(f"{path} is missing; download the component {path.parent.name!r} of this segment")
    try:
        file = parquet.ParquetFile(path)
        names = set(file.schema_arrow.names)
        asked = {*columns, *(name for name, _, _ in where or ())}
        if missing := sorted(asked - names):
            raise UserError(f"{path} has no column {', '.join(missing)}; it is not a Waymo v2 component")
        table = parquet.read_table(path, columns=columns, filters=where or None)
        stored = [list(map(_plain, table.column(name))) for name in columns]
    except UserError:
        raise
    except Exception as error:  # pyarrow raises its own classes and OSError for damaged files
        raise UserError(f"{path} cannot be read as Parquet ({error}); download it again") from error
    return [dict(zip(columns, row, strict=True)) for row in zip(*stored, strict=True)]


def _plain(value: Any) -> Any:
    numbers = getattr(value, "values", None)
    return value.as_py() if numbers is None else numbers.to_numpy(zero_copy_only=False)
