"""The front doors: what they offer is there, comes on first use, and is all that chapters import."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import page4d
from page4d.doors import homes

ROOT = Path(__file__).parent.parent
ROOMS = (
    "check", "data", "evaluate", "features", "geometry", "losses", "model", "prepare", "result", "train", "viz",
    "world",
)  # fmt: skip
DOORS = ("page4d", *(f"page4d.{room}" for room in ROOMS))
FIRST_WEEK = {
    "Clip", "Notice", "PAGE4D", "PAGE4DConfig", "Prediction", "Scores", "UserError", "Windows", "export", "load_frames",
    "load_images", "moving_mask", "predict", "track", "view",
}  # fmt: skip
VGGT_NAMES = {
    "extri_intri_to_pose_encoding", "load_and_preprocess_images", "pose_encoding_to_extri_intri",
    "unproject_depth_map_to_point_map",
}  # fmt: skip
HEAVY = ("torch", "numpy", "hydra", "PIL", "matplotlib", "plotly", "pandas", "evo")


@pytest.mark.parametrize("name", DOORS)
def test_a_door_offers_what_it_says(name: str) -> None:
    door = importlib.import_module(name)
    offered = list(door.__all__)
    assert offered
    assert len(set(offered)) == len(offered)
    for wanted in offered:
        assert getattr(door, wanted) is not None
    with pytest.raises(AttributeError, match="nonsense"):
        _ = door.nonsense


def test_the_package_offers_what_a_first_week_needs() -> None:
    assert FIRST_WEEK | VGGT_NAMES | set(ROOMS) <= set(page4d.__all__)
    assert set(dir(page4d)) == set(page4d.__all__)


def test_a_name_at_a_door_is_the_one_of_its_home() -> None:
    """And not a module of the same name, which importing another part of the room would have put there."""
    for name in DOORS:
        door = importlib.import_module(name)
        for offered, home in homes(Path(str(door.__file__)).read_text()):
            if home == name:
                assert getattr(door, offered) is importlib.import_module(f"{name}.{offered}")
            else:
                assert getattr(door, offered) is getattr(importlib.import_module(home), offered)


def test_a_door_reads_its_names_from_its_imports_for_type_checkers() -> None:
    source = "from a import no\nif TYPE_CHECKING:\n    from b.c import one as one, two as two\nelse:\n    x = 1\n"
    assert list(homes(source)) == [("one", "b.c"), ("two", "b.c")]


def test_lazy_doors_import_nothing_heavy() -> None:
    doors = [name for name in DOORS if list(homes(Path(str(importlib.import_module(name).__file__)).read_text()))]
    assert {"page4d", "page4d.data", "page4d.evaluate", "page4d.viz", "page4d.train"} <= set(doors)
    code = f"import sys, {', '.join(doors)}; print(sorted(set({HEAVY}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("source", sorted((ROOT / "notebooks").glob("*.py")), ids=lambda path: path.stem)
def test_chapters_import_from_the_front_doors_alone(source: Path) -> None:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            assert [a.name for a in node.names if a.name.startswith("page4d.")] == []
        if isinstance(node, ast.ImportFrom) and str(node.module).split(".")[0] == "page4d":
            assert node.module in DOORS
            assert [a.name for a in node.names if a.name not in importlib.import_module(str(node.module)).__all__] == []
