"""What an installation gets: the wheel's contents, lazy exports, pinned constraints, conda's file."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.markers import default_environment
from packaging.requirements import Requirement
from rattler import MatchSpec
from rattler.exceptions import InvalidMatchSpecError

import page4d

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PINS = [Requirement(line) for line in (ROOT / "constraints.txt").read_text().splitlines() if line]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from hatchling.builders.wheel import WheelBuilder

    folder = tmp_path_factory.mktemp("wheel")
    (built,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    return Path(built)


def test_revision_of_a_checkout_and_of_an_installation(tmp_path: Path) -> None:
    package = tmp_path / "page4d"
    package.mkdir()
    (package / "version.py").write_text((ROOT / "page4d/version.py").read_text())

    def revision() -> str:
        words = [sys.executable, "-c", "from version import code_revision; print(code_revision())"]
        return subprocess.run(words, cwd=package, capture_output=True, text=True, check=True).stdout.strip()

    def git(*words: str) -> str:
        who = ["-c", "user.name=x", "-c", "user.email=x@y"]
        return subprocess.run(["git", *who, *words], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    assert revision() == f"page4d {page4d.__version__}"
    git("init", "-q")
    git("add", "page4d/version.py")
    git("commit", "-qm", "first")
    assert revision() == git("rev-parse", "HEAD").strip()
    (tmp_path / "notes.txt").write_text("not of the package")
    assert revision() == git("rev-parse", "HEAD").strip()
    (package / "version.py").open("a").write("# changed")
    assert revision() == git("rev-parse", "HEAD").strip() + "-changed"


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def files_under(folder: Path) -> set[str]:
    return {str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file() and "__pycache__" not in p.parts}


def test_wheel_holds_the_package_and_its_configuration(unpacked: Path) -> None:
    found = files_under(unpacked)
    assert {f"page4d/{name}" for name in files_under(ROOT / "page4d")} <= found
    assert {f"page4d/conf/{name}" for name in files_under(ROOT / "conf")} <= found
    assert "page4d/py.typed" in found
    assert "page4d/model/builtin/page4d-tiny.safetensors" in found
    assert {name.split("/")[0] for name in found} == {"page4d", f"page4d-{page4d.__version__}.dist-info"}


def test_wheel_carries_the_licence_and_the_entry_points(unpacked: Path) -> None:
    info = metadata.Distribution.at(unpacked / f"page4d-{page4d.__version__}.dist-info")
    assert info.metadata["License-Expression"] == "Apache-2.0"
    assert info.read_text("licenses/LICENSE") == (ROOT / "LICENSE").read_text()
    assert {(e.group, e.name) for e in info.entry_points} == {
        ("console_scripts", "page4d"),
        ("myst_nb.mime_renderers", "page4d_plotly"),
    }


def run_outside(unpacked: Path, code: str) -> str:
    """Run code against the unpacked wheel, from a folder that is not the checkout."""
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(unpacked)!r})\n{code}"]
    return subprocess.run(command, cwd=unpacked.parent, text=True, capture_output=True, check=True).stdout.strip()


def test_configuration_is_found_in_an_installed_wheel(unpacked: Path) -> None:
    found = run_outside(unpacked, "from page4d.config import conf_folder; print(conf_folder())")
    assert Path(found).resolve() == (unpacked / "page4d" / "conf").resolve()


def test_importing_the_package_imports_nothing_heavy(unpacked: Path) -> None:
    code = "import page4d; print(page4d.__file__, sorted({'torch', 'numpy', 'hydra', 'PIL'} & sys.modules.keys()))"
    assert run_outside(unpacked, code) == f"{unpacked / 'page4d' / '__init__.py'} []"


def test_every_exported_name_exists() -> None:
    for name in page4d.__all__:
        assert getattr(page4d, name) is not None
    assert set(dir(page4d)) == set(page4d.__all__)
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = page4d.nonsense  # type: ignore[attr-defined]


def test_versions_agree() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert metadata.version("page4d") == page4d.__version__ == citation["version"]
    assert f"## {page4d.__version__}" in (ROOT / "CHANGELOG.md").read_text()


def test_constraints_pin_every_package_without_addresses() -> None:
    assert "://" not in (ROOT / "constraints.txt").read_text()
    for pin in PINS:
        assert re.fullmatch(r"==[^,*]+", str(pin.specifier)), pin


@pytest.mark.parametrize("python", ["3.11", "3.12", "3.13"])
def test_constraints_satisfy_the_declared_dependencies(python: str) -> None:
    environment = {**default_environment(), "python_version": python, "python_full_version": f"{python}.0"}
    pinned = {
        pin.name.lower().replace("_", "-"): next(iter(pin.specifier)).version
        for pin in PINS
        if pin.marker is None or pin.marker.evaluate(environment)
    }
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    for text in (text for group in groups for text in group):
        wanted = Requirement(text)
        name = wanted.name.lower().replace("_", "-")
        if name != "page4d":
            assert wanted.specifier.contains(pinned[name], prereleases=True), f"{text}: pinned {pinned[name]}"


def test_conda_understands_every_spec_of_environment_yml() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    specs = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    assert [MatchSpec(spec, strict=True).name.normalized for spec in specs] == ["python", "pip", "git", "make"]
    (pip,) = (entry["pip"] for entry in environment["dependencies"] if isinstance(entry, dict))
    assert pip == ["-c constraints.txt", "-e .[dev]"]
    python = MatchSpec(specs[0])
    assert str(python.version) == PROJECT["requires-python"]


def test_the_conda_check_can_fail() -> None:
    with pytest.raises(InvalidMatchSpecError):
        MatchSpec("python >=>3.11", strict=True)
