"""The wheel with its core dependencies alone: import, predict, export, help; an absent extra is one line."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from core_venv import make_venv, needed, requirements_of
from hatchling.builders.wheel import WheelBuilder
from PIL import Image

ROOT = Path(__file__).parent.parent
CORE_PACKAGES = 60  # about 50 are meant; torch alone brings more than half of them


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("core")
    (wheel,) = WheelBuilder(str(ROOT)).build(directory=str(folder), versions=["standard"])
    packages = set(needed(requirements_of(Path(wheel))))
    assert {"torch", "numpy", "safetensors"} <= packages
    assert len(packages) < CORE_PACKAGES
    return make_venv(folder / "venv", Path(wheel), packages)


def run(programs: Path, *words: str, code: int = 0) -> str:
    done = subprocess.run(
        [str(programs / words[0]), *words[1:]], cwd=programs, text=True, capture_output=True, check=False
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.slow
def test_the_core_predicts_and_exports(programs: Path, tmp_path: Path) -> None:
    found = run(programs, "python", "-c", "import page4d; print(page4d.__file__)")
    assert found.startswith(str(programs.parent))
    assert "predict" in run(programs, "page4d", "--help")
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    values = np.random.default_rng(0).integers(0, 255, (2, 48, 64, 3), dtype=np.uint8)
    for i, picture in enumerate(values):
        Image.fromarray(picture).save(pictures / f"{i}.png")
    result, exported = tmp_path / "result", tmp_path / "exported"
    run(programs, "page4d", "predict", str(pictures), "--device", "cpu", "--out", str(result))
    assert (result / "prediction.npz").is_file()
    run(programs, "page4d", "export", str(result), "--format", "ply", "glb", "tum", "--out", str(exported))
    assert list(exported.rglob("*.ply"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (("train", "experiment=smoke"), "train"),
        (("evaluate", "--list"), "evaluate"),
        (("check-data", "data=folder"), "train"),
        (("demo",), "demo"),
        (("book", "--root", str(ROOT)), "book"),
        (("features", "--images", "missing.png", "--out", "out"), "view"),
    ],
)
def test_an_absent_extra_is_one_line(programs: Path, words: tuple[str, ...], extra: str) -> None:
    said = run(programs, "page4d", *words, code=2)
    assert said.startswith("page4d: error: ")
    assert f'pip install "page4d[{extra}]"' in said
    assert len(said.splitlines()) == 1


@pytest.mark.slow
def test_a_door_without_its_extra_says_so(programs: Path) -> None:
    said = run(programs, "python", "-c", "from page4d.viz import scene_figure", code=1)
    assert said.splitlines()[-1].endswith('which is not installed: pip install "page4d[view]"')
