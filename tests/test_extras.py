"""Optional packages: each is named with the extra that brings it, and the table agrees with pyproject.toml."""

from __future__ import annotations

import importlib
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import page4d
from page4d.cli import main
from page4d.extras import EXTRAS_OF, extras_named
from page4d.schema import UserError

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
SOURCES = metadata.packages_distributions()


def brought_by(extra: str) -> set[str]:
    """The packages that an extra asks for, those of the extras in it included."""
    found: set[str] = set()
    for wanted in map(Requirement, EXTRAS[extra]):
        parts = set.union(*map(brought_by, wanted.extras)) if wanted.name == "page4d" else {wanted.name}
        found |= {part.lower().replace("_", "-") for part in parts}
    return found


# Packages that come with another one of the same extra.
BROUGHT_ALONG = {"IPython": "ipykernel", "docutils": "jupyter-book", "nbclient": "papermill", "omegaconf": "hydra-core"}


@pytest.mark.parametrize("package", sorted(EXTRAS_OF))
def test_the_table_of_extras_agrees_with_the_project(package: str) -> None:
    found = SOURCES.get(package, [package])
    names = {BROUGHT_ALONG.get(package) or name.lower().replace("_", "-") for name in found}
    for extra in EXTRAS_OF[package]:
        assert names & brought_by(extra), f"{extra} brings {sorted(brought_by(extra))}, not {names}"
    core = {Requirement(text).name for text in PROJECT["dependencies"]}
    assert not names & core


def test_dev_is_everything() -> None:
    assert brought_by("dev") >= set.union(*(brought_by(extra) for extra in EXTRAS))


def test_an_absent_package_is_one_line_that_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    line = r'^x\.dsp5 needs the package h5py, which is not installed: pip install "page4d\[data\]"$'
    with pytest.raises(UserError, match=line), extras_named("x.dsp5"):
        importlib.import_module("h5py")


def test_two_extras_that_bring_a_package_are_both_named() -> None:
    line = r'pip install "page4d\[train\]" or pip install "page4d\[evaluate\]"$'
    with pytest.raises(UserError, match=line), extras_named():
        raise ModuleNotFoundError("No module named 'hydra.core'", name="hydra.core")


def test_a_module_of_ours_that_is_missing_stays_a_fault() -> None:
    with pytest.raises(ModuleNotFoundError), extras_named():
        importlib.import_module("page4d.nonsense")


@pytest.mark.parametrize(
    ("words", "package", "module", "extra"),
    [
        (["train", "experiment=smoke", "--show"], "hydra", "page4d.config", "train"),
        (["evaluate", "--list"], "hydra", "page4d.config", "evaluate"),
        (["check-data", "data=folder"], "hydra", "page4d.config", "train"),
        (["demo"], "gradio", "gradio", "demo"),
    ],
)
def test_a_command_without_its_extra_ends_in_one_line(
    words: list[str], package: str, module: str, extra: str,
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.delitem(sys.modules, module, raising=False)
    monkeypatch.setitem(sys.modules, package, None)
    assert main(words) == 2
    said = capsys.readouterr().err
    assert said.startswith("page4d: error: ")
    assert f"needs the package {package}, which is not installed" in said
    assert f'pip install "page4d[{extra}]"' in said


def test_a_door_says_what_a_name_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "plotly" or name.startswith("page4d.viz.scene")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "plotly", None)
    monkeypatch.delitem(page4d.viz.__dict__, "scene_figure", raising=False)
    with pytest.raises(UserError, match=r"page4d.viz.scene_figure needs the package plotly"):
        _ = page4d.viz.scene_figure
