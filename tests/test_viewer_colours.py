"""The viewer's colours: words and lines stand out in the light and in the dark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from matplotlib.colors import to_rgb

from page4d.viz import viewer
from page4d.viz.dark import contrast

ON_ITS_GROUND = {"ink": "paper", "soft": "paper", "wrong": "ground", "on-accent": "accent"}
LINES = ("camera", "path", "current", "x", "y", "z")


def _inks(theme: str) -> dict[str, str]:
    """The viewer's colours in one theme, by name."""
    css = (Path(viewer.__file__).parent / "viewer_assets" / "viewer.css").read_text()
    block = re.search(
        r':root\[data-theme="dark"\] \{(.*?)\}' if theme == "dark" else r":root \{(.*?)\}", css, re.DOTALL
    )
    assert block is not None
    return dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6});", block[1]))


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_words_and_lines_stand_out_in_both_themes(theme: str) -> None:
    inks = _inks(theme)
    assert set(inks) == set(_inks("light"))
    for word, ground in [*ON_ITS_GROUND.items(), ("ink", "ground"), ("ink", "field")]:
        assert contrast(to_rgb(inks[word]), to_rgb(inks[ground])) >= 4.5, (word, ground)
    for line in LINES:
        assert contrast(to_rgb(inks[line]), to_rgb(inks["ground"])) >= 3, line
