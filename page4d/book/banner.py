"""What a page says of its own making: a line below the chapter's title, and a word in each caption."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

from page4d.book.chapters import Execution

CI = "ci"


def banner(execution: Execution) -> str:
    """Profile, machine and day of a chapter's figures, in MyST."""
    done = datetime.fromisoformat(execution.finished)
    parts = [f"profile `{execution.profile}`", execution.machine, f"{done.day} {done:%B %Y}"]
    return f":::{{container}} page4d-made\nFigures of this page: {', '.join(filter(None, parts))}.\n:::"


def say_how_made(notebook: Path, execution: Execution) -> None:
    """Put the banner below the title of an executed chapter, and a profile other than `ci` into its captions."""
    stored = json.loads(notebook.read_text(encoding="utf-8"))
    for cell in stored["cells"]:
        if execution.profile != CI:
            _add_to_caption(cell, f"Profile {execution.profile}.")
    for cell in stored["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown" and source.startswith("# "):
            title, _, rest = source.partition("\n")
            cell["source"] = f"{title}\n\n{banner(execution)}\n{rest}"
            break
    notebook.write_text(json.dumps(stored), encoding="utf-8")


def _add_to_caption(cell: dict[str, Any], words: str) -> None:
    figure = cell["metadata"].get("mystnb", {}).get("figure", {})
    if "caption" in figure:
        figure["caption"] = f"{figure['caption']} {words}"
