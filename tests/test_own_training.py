"""Chapter 9 on files: a stranger's five frames are brought in, checked and trained on by the commands as printed."""

from __future__ import annotations

import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from page4d.check import consistency
from page4d.cli import main
from page4d.data.configured import settings_of
from page4d.data.datasets import Folder
from page4d.train import setup

CHAPTER = Path(__file__).parent.parent / "notebooks" / "09_adding_your_own_dataset.py"
FRAMES, HEIGHT, WIDTH, FOCAL, CENTRE = 5, 480, 640, (518.0, 519.0), (325.5, 253.5)


def printed(word: str) -> list[str]:
    """The lines of the chapter's only shell block that has this word."""
    blocks = re.findall(r"^# ```bash\n(.*?)^# ```", CHAPTER.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    (block,) = (block for block in blocks if word in block)
    return [line.removeprefix("# ") for line in block.splitlines()]


def film(folder: Path) -> None:
    """A painted wall two metres away, filmed by a camera that moves sideways and down, in the usual loose layout."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    rows = []
    for kind in ("color", "depth"):
        (folder / kind).mkdir(parents=True)
    for number in range(1, FRAMES + 1):
        centre = np.array([0.06 * number, 0.04 * number, 0.0])
        wall = [2.0 * (p - c) / f + t for p, c, f, t in zip((x, y), CENTRE, FOCAL, centre, strict=False)]
        paint = [127 + 100 * np.sin(9 * wall[0] + 5 * k) * np.cos(7 * wall[1]) for k in range(3)]
        Image.fromarray(np.stack(paint, -1).astype(np.uint8)).save(folder / "color" / f"{number}.png")
        millimetres = np.full((HEIGHT, WIDTH), 2000, ">u2")
        header = f"P5\n{WIDTH} {HEIGHT}\n65535\n".encode()
        (folder / "depth" / f"{number}.pgm").write_bytes(header + millimetres.tobytes())
        rows.append(" ".join(f"{value:.4f}" for value in (*centre, 0, 0, 0, 1)))
    (folder / "pose.txt").write_text("\n".join(rows) + "\n")


@pytest.fixture
def recordings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The first block, with the stranger's folder in the place of /elsewhere."""
    film(tmp_path / "elsewhere")
    script = "\n".join(printed("awk")).replace("/elsewhere", str(tmp_path / "elsewhere"))
    subprocess.run(["bash", "-euc", script], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "my" / "recordings"


def test_the_loose_files_become_a_recording(recordings: Path) -> None:
    dataset = Folder(recordings)
    assert dataset.sequences == ["kitchen"]
    clip = dataset.load("kitchen", dataset.frame_numbers("kitchen"))
    assert tuple(clip.depth.shape) == (FRAMES, HEIGHT, WIDTH)
    assert float(clip.depth.min()) == float(clip.depth.max()) == 2.0
    np.testing.assert_allclose(
        clip.cam_from_world[:, :, 3], [[-0.06 * n, -0.04 * n, 0] for n in range(1, 6)], atol=1e-6
    )
    np.testing.assert_array_equal(clip.K[0], [[518, 0, 325.5], [0, 519, 253.5], [0, 0, 1]])


def test_the_printed_commands_check_and_train(
    recordings: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The words are the chapter's; the test only makes the run two steps long."""
    check, train, mixed = (shlex.split(line)[1:] for line in printed("page4d train"))
    monkeypatch.setattr(consistency, "MAX_PIXELS", 100)
    assert main(check) == 0
    assert "1 sequence, 5 frames" in capsys.readouterr().out
    short = {"max_steps": 2, "workers": 0, "device": "cpu", "progress": False}
    whole = setup.compose_run

    def compose(words: Any = ()) -> dict[str, Any]:
        made = whole(words)
        made["trainer"] |= short
        made["data"]["shapes"] = {"images_per_batch": 2, "frames": [2, 2]}
        return made

    monkeypatch.setattr(setup, "compose_run", compose)
    assert main(train) == 0
    assert "done at step 2" in capsys.readouterr().out
    # The mix needs the public downloads; without them its command says which one to get, and nothing else.
    kitchen = settings_of(whole(mixed[1:])["data"]["datasets"]["kitchen"], "data.datasets.kitchen")
    assert (kitchen.loader, kitchen.root, kitchen.weight) == ("folder", "my/recordings", 5000.0)
    assert main(mixed) == 2
    assert "download" in capsys.readouterr().err


def test_bare_train_asks_for_an_experiment(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train"]) == 2
    assert "page4d train experiment=smoke" in capsys.readouterr().err
