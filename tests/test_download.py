"""`page4d download` and hub weights: the real client in its own process against a hub on this machine."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from hub_server import COMMIT, Hub, running_hub
from little_model import little_model

from page4d.cli import main
from page4d.cli.download import describe_download
from page4d.io.weight_files import builtin_names
from page4d.model.weights import save_weights
from page4d.schema import UserError

RUN_EACH = """
import sys
from page4d.cli import main
for words in sys.argv[1:]:
    if words.startswith("load "):
        from page4d import PAGE4D
        print("depth", PAGE4D.from_pretrained(words.removeprefix("load "), revision="main").config.depth)
    else:
        print("exit", main(words.split()), flush=True)
"""


def process(code: str, *words: str, home: Path, hub: Hub, **env: str) -> subprocess.CompletedProcess[str]:
    """Run code in a fresh process whose hub is ours and whose cache is empty or the test's own."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("HF_") and "proxy" not in k.lower()}
    settings = {"HF_HOME": str(home), "HF_ENDPOINT": hub.endpoint, "HF_HUB_DISABLE_TELEMETRY": "1"}
    return subprocess.run(
        [sys.executable, "-c", code, *words], env=clean | settings | env, capture_output=True, text=True, timeout=300
    )


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Hub:
    with running_hub() as hub:
        buffer = io.BytesIO()
        # The client resumes in whole chunks of 10 MB, so the file that breaks must be larger than two of them.
        torch.save({"model": {"fake": torch.arange(6_000_000.0)}}, buffer)
        folder = tmp_path_factory.mktemp("net")
        save_weights(little_model(), folder / "model.safetensors")
        hub.files |= {
            "/datasets/zhouk777/PAGE4D/resolve/main/checkpoint_nomask.pt": buffer.getvalue(),
            "/facebook/VGGT-1B/resolve/main/model.safetensors": b"vggt" * 1000,
            "/me/net/resolve/main/model.safetensors": (folder / "model.safetensors").read_bytes(),
            "/me/old/resolve/main/model.pt": b"old",
        }
        hub.gated.add("/me/secret/resolve/main/model.pt")
        yield hub


def test_download_resume_offline_and_load(hub: Hub, tmp_path: Path) -> None:
    nomask = "/datasets/zhouk777/PAGE4D/resolve/main/checkpoint_nomask.pt"
    hub.break_once.add(nomask)
    done = process(RUN_EACH, "download nomask vggt me/net", "download me/old", "load me/net", home=tmp_path, hub=hub)
    assert done.stdout.count("exit 0") == 2, done.stdout + done.stderr
    assert f"depth {little_model().config.depth}" in done.stdout
    assert len([path for method, path, _ in hub.requests if (method, path[:7]) == ("GET", "/me/net")]) == 1  # cached
    for address, data in hub.files.items():
        assert f"sha256  {hashlib.sha256(data).hexdigest()}" in done.stdout, address
        assert f"size    {len(data)} bytes" in done.stdout
    # The transfer that broke in the middle went on from there instead of starting again.
    ranges = [asked for method, path, asked in hub.requests if (method, path) == ("GET", nomask)]
    assert ranges[0] is None
    assert len(ranges) == 2
    assert 0 < int(ranges[1].removeprefix("bytes=").removesuffix("-")) <= len(hub.files[nomask]) // 2
    snapshot = tmp_path / "hub" / "datasets--zhouk777--PAGE4D" / "snapshots" / COMMIT / "checkpoint_nomask.pt"
    assert snapshot.read_bytes() == hub.files[nomask]

    hub.requests.clear()
    offline = process(RUN_EACH, "download nomask", "download mask", home=tmp_path, hub=hub, HF_HUB_OFFLINE="1")
    assert "exit 0" in offline.stdout, offline.stderr
    assert "exit 2" in offline.stdout
    assert "checkpoint_mask.pt" in offline.stderr
    assert "is not in the cache" in offline.stderr
    assert "HF_HUB_OFFLINE is set" in offline.stderr
    assert hub.requests == []


def test_errors_are_named_without_traceback(hub: Hub, tmp_path: Path) -> None:
    done = process(
        RUN_EACH,
        "download mask",
        "download nobody/nothing/file.pt",
        "download me/secret/model.pt",
        "download nonsense",
        "download me/old/missing.bin",
        home=tmp_path,
        hub=hub,
    )
    assert done.stdout.count("exit 2") == 5, done.stdout + done.stderr
    for message in (
        "there is no checkpoint_mask.pt of the dataset repository zhouk777/PAGE4D",
        "the model repository nobody/nothing does not exist, or needs a login",
        "model.pt of the model repository me/secret needs a login",
        "nonsense: no file or folder here, and not a known name",
        "there is no missing.bin",
    ):
        assert f"page4d: error: {message}" in done.stderr
    assert "Traceback" not in done.stderr


LIES = {
    "etag": {"X-Linked-Etag": '"../../../outside"'},
    "commit": {"X-Repo-Commit": "../../../outside"},
    "size": {"X-Linked-Size": str(4 * 10**12)},
    "absent": {"X-Repo-Commit": "../../../outside"},
}


def test_a_lying_hub_writes_nothing(hub: Hub, tmp_path: Path) -> None:
    """Paths in place of names, and a file of four terabytes."""
    for name, lie in LIES.items():
        address = f"/me/{name}/resolve/main/model.pt"
        if name != "absent":
            hub.files[address] = b"data"
        hub.files.setdefault(f"/me/{name}/resolve/main/other", b"so that the repository is there")
        hub.lies[address] = lie
    home = tmp_path / "a" / "b" / "c"
    words = [f"download me/{name}/model.pt" for name in LIES]
    try:
        done = process(RUN_EACH, *words, home=home, hub=hub)
    finally:
        for name in LIES:
            hub.files = {path: data for path, data in hub.files.items() if not path.startswith(f"/me/{name}/")}
    assert done.stdout.count("exit 2") == 4, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    assert "names its ETag '../../../outside', which is no name" in done.stderr
    assert "names its commit '../../../outside', which is no name" in done.stderr
    assert "the server says 4000 GB" in done.stderr
    assert not [path for path in tmp_path.rglob("*") if "outside" in str(path)]
    assert not [path for path in home.rglob("*") if path.is_file() and path.read_bytes() == b"data"]


@pytest.mark.slow
def test_unreachable_hub(hub: Hub, tmp_path: Path) -> None:
    done = process(RUN_EACH, "download nomask", home=tmp_path, hub=hub, HF_ENDPOINT="http://127.0.0.1:1")
    assert "exit 2" in done.stdout
    assert "http://127.0.0.1:1 cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


def test_built_in_weights_need_no_download(capsys: pytest.CaptureFixture[str]) -> None:
    for name in builtin_names():
        assert main(["download", name]) == 2
        assert f"{name} comes with the package and needs no download" in capsys.readouterr().err


def test_damaged_cache_is_noticed(tmp_path: Path) -> None:
    blob = tmp_path / hashlib.sha256(b"whole").hexdigest()
    blob.write_bytes(b"whole")
    link = tmp_path / "model.pt"
    link.symlink_to(blob)
    assert f"sha256  {blob.name}" in describe_download("x", link)
    blob.write_bytes(b"damaged")
    with pytest.raises(UserError, match=f"the hub says {blob.name}; delete it"):
        describe_download("x", link)


@pytest.mark.parametrize("name", ["a/b/c/../../d", "a/..", "a/b/x\n", "a/b/\udcff.pt", "a/" + "b" * 300])
def test_names_that_no_hub_has_are_one_line(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert main(["download", name]) == 2
    assert capsys.readouterr().err.startswith("page4d: error: ")
