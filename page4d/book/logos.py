"""The logo as files that stand alone, for pages that are light and pages that are dark."""

from __future__ import annotations

from pathlib import Path

from page4d.viz import logo

# Of the book's theme: its text, its blue and its orange, light and dark.
INKS = {
    "logo.svg": {"color": "#222832", "--page4d-ink-frame": "#176de8", "--page4d-ink-mask": "#f66a0a"},
    "logo-dark.svg": {"color": "#ced6dd", "--page4d-ink-frame": "#528fe4", "--page4d-ink-mask": "#ff9245"},
}


def logo_files() -> dict[str, str]:
    """Name to content of both files; a page's colours and letters do not reach a picture, so it has its own."""
    files = {}
    for name, inks in INKS.items():
        style = "".join(f"{key}:{value};" for key, value in {"font-family": "sans-serif", **inks}.items())
        files[name] = logo().replace('style="', f'style="{style}', 1) + "\n"
    return files


def write_logos(folder: Path) -> None:
    """Write both files into `folder`."""
    for name, content in logo_files().items():
        (folder / name).write_text(content, encoding="utf-8")
