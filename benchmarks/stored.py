"""Results of benchmarks as the book reads them: JSON files of named parts, each with the machine that it is from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from page4d.schema import atomic_write
from page4d.version import provenance


def store(path: Path | None, part: str, found: Mapping[str, Any], indent: int | None = 1) -> dict[str, Any]:
    """Print a part with its provenance as one line of JSON and, given a file, replace that part in it.

    Note:    indent None is for long lists of numbers: a file of one line.
    """
    told = {**found, **provenance()}
    print(json.dumps({part: told}), flush=True)
    if path is not None:
        before = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path, "w") as stream:
            json.dump(before | {part: told}, stream, indent=indent)
            stream.write("\n")
    return told
