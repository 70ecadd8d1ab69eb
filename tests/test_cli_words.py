"""Words on the command line: values refused before torch is imported, any file name, any console, completion."""

from __future__ import annotations

import ast
import os
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
from PIL import Image

from page4d.cli import COMMANDS, SHELLS, _at_home, _notices_in_one_line, main
from page4d.cli.demo import check_address
from page4d.inference import resolve_device
from page4d.processes import process
from page4d.schema import Prediction, UserError, atomic_write, notice
from page4d.train.setup import compose_run

PREDICT = ["predict", "a.png", "--out", "o"]


def page4d(*words: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "page4d", *words]
    return subprocess.run(command, capture_output=True, env=os.environ | environment, check=False)


def test_the_package_runs_as_a_module() -> None:
    done = page4d("--version")
    assert done.returncode == 0
    assert done.stdout.startswith(b"page4d 0.")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([*PREDICT, "--device", "meta"], "'meta' is not a device to compute on; give cpu"),
        ([*PREDICT, "--device", "cuda:x"], "'cuda:x' is not a device"),
        ([*PREDICT, "--fps", "0"], "'0' is not a number above 0"),
        ([*PREDICT, "--fps", "nan"], "'nan' is not a number above 0"),
        ([*PREDICT, "--fps", "inf"], "'inf' is not a number above 0"),
        ([*PREDICT, "--max-frames", "1e3"], "'1e3' is not a whole number of 1 or more"),
        ([*PREDICT, "--max-frames", "9" * 5000], "is not a whole number of 1 or more"),
        ([*PREDICT, "--window", "1"], "'1' is not a whole number of 2 or more"),
        ([*PREDICT, "--drop", "1"], "give a number in [0, 1)"),
        (["view", "x.npz", "--background-points", "-1"], "'-1' is not a whole number from 1 to 20000000"),
        (["view", "x.npz", "--fps", "1e6"], "'1e6' frames a second are more than 1000"),
        ([*PREDICT, "--start", "1:2:3:4"], "'1:2:3:4' is not a time: give seconds"),
        ([*PREDICT, "--end", "-1"], "'-1' is not a time"),
        ([*PREDICT, "--bits", "17"], "'17' is not a whole number from 8 to 16"),
        ([*PREDICT, "--every", "0"], "'0' is not a whole number of 1 or more"),
        ([*PREDICT, "--spread", "2", "--max-frames", "2"], "not allowed with argument"),
        (["export", "x.npz", "--format", "ply", "--out", "o", "--max-points", "x"], "'x' is not a whole number"),
        (["track", "a.png", "--out", "o", "--grid", "100000"], "'100000' is not a whole number from 1 to 256"),
        (["track", "a.png", "--out", "o", "--points", "3"], "'3' is not a point: expected X,Y in pixels"),
        (["track", "a.png", "--out", "o", "--points", "3,nan"], "'3,nan' is not a point"),
        (["check-data", "--seed", "-1"], "'-1' is not a whole number of 0 or more"),
        (["check-data", "--frames", "1"], "'1' is not a whole number from 2 to 1000"),
        (["predict", "", "--out", "o"], "an empty word names no file or folder; is a variable not set?"),
        (["predict", "a.png", "--out", "a\0b"], "'a\\x00b' holds a zero byte, which no name of a file may"),
        (["view", ""], "an empty word names no file or folder"),
        ([*PREDICT, "--mask-folder", ""], "an empty word names no file or folder"),
        (["demo", "--port", "70000"], "'70000' is not a whole number from 1 to 65535"),
        (["prepare", "tum", "x", "--stride", "0"], "'0' is not a whole number of 1 or more"),
        (["features", "--images", "a", "--out", "o", "--gap", "0"], "'0' is not a whole number of 1 or more"),
    ],
)
def test_impossible_values_are_refused(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith(f"page4d {' '.join(words[: 2 if words[0] == 'prepare' else 1])}: error: argument ")
    assert said in last


@pytest.mark.parametrize("command", list(COMMANDS))
def test_arguments_are_parsed_before_torch_is_imported(command: str) -> None:
    code = f"import sys; from page4d.cli import main; code = main([{command!r}, '--no-such-option']); "
    code += "print(code, sorted({'torch', 'hydra', 'matplotlib', 'PIL'} & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "2 []\n"


def test_lists_and_missing_words_do_not_wait_for_torch() -> None:
    asked = (["train"], ["train", "--list"], ["evaluate"], ["evaluate", "--list"])
    assert codes_without_torch(asked) == [2, 0, 2, 0]


def test_wrong_words_of_settings_do_not_wait_for_torch(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    wrong = ["experiment=smok", "trainre.seed=1", "data=nope", "hydra.run.dir=x", f"paths.root={tmp_path / 'file'}"]
    asked = [["train", word] for word in wrong] + [["evaluate", "run", "benchmark=pose-nowhere"]]
    assert codes_without_torch(asked) == [2] * 6


def test_wrong_keys_and_values_within_a_section_do_not_wait_for_torch() -> None:
    wrong = ["trainer.max_stepz=3", "optim.groups.all.rate.peek=1", "trainer.workers=-1", "+data.world.heigth=64"]
    asked = [["train", "experiment=smoke", word] for word in wrong] + [["check-data", "data.batchsize=2"]]
    asked += [["evaluate", "run", word] for word in ("options.solver=7", "mask=maybe", "device=meta")]
    asked += [["evaluate", "exact", "sequences=x"]]
    assert codes_without_torch(asked) == [2] * 9


def test_options_that_mean_nothing_do_not_wait_for_torch(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    film, other = ["predict", "film", "--out", str(tmp_path / "o")], ["predict", "film", "--out"]
    wrong = [
        "--loops",
        "--overlap 3",
        "--window 4 --overlap 4",
        "--window 4 --poses x",
        "--shard 1/2",
        "--scale-from x",
    ]
    wrong += ["--scale-from x", "--intrinsics 1,2", "--scale-from distance:1,2", "--poses x --scale-from depth:x"]
    asked = [[*film, *words.split()] for words in wrong] + [[*other, str(tmp_path / "file")]]
    asked += [[*other, str(tmp_path / "file" / "o")], ["view", "nothing.npz"], ["track", "film", "--out", "o"]]
    asked += [["export", "nothing.npz", "--format", "ply", "--out", str(tmp_path / "o")]]
    assert codes_without_torch(asked) == [2] * len(asked)


def test_a_run_that_can_be_written_nowhere_is_refused_early(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert main(["train", "experiment=smoke", f"paths.root='{tmp_path}/file/deeper'"]) == 2
    assert "/file is a file; choose another place" in capsys.readouterr().err
    assert main(["train", "experiment=nope"]) == 2
    assert "experiment=nope: no such choice; near: " in capsys.readouterr().err
    assert main(["train", "trainre.seed=1"]) == 2
    assert "'trainre' is not a setting; near: trainer" in capsys.readouterr().err


def codes_without_torch(asked: Sequence[Sequence[str]]) -> list[int]:
    """The exit codes of commands run one after the other in a fresh process, which must not have imported torch."""
    code = f"import sys; from page4d.cli import main; codes = [main(words) for words in {asked}]; "
    code += "print(codes, 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    codes, _, imported = done.stdout.splitlines()[-1].rpartition(" ")
    assert imported == "False"
    return list(ast.literal_eval(codes))


def test_home_is_known_behind_an_equals_sign(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert _at_home("--out=~/a b") == f"--out={tmp_path}/a b"
    assert _at_home("paths.root=~/runs") == f"paths.root={tmp_path}/runs"
    assert _at_home("~/x") == f"{tmp_path}/x"
    for word in ("~model", "a~/b", "~other/x", "--out", "key=a~b"):
        assert _at_home(word) == word
    (tmp_path / "~").mkdir()
    assert _at_home("--out=~/x") == "--out=~/x"  # somebody's folder of that name


@pytest.mark.parametrize("closed", ["stdout", "stderr"])
def test_a_console_that_is_not_there_changes_nothing(
    closed: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, closed, None)
    assert main(["predict", "nowhere.png", "--out", "o"]) == 2
    assert main(["train", "--list"]) == 0
    assert getattr(sys, closed) is not None  # progress bars write without asking


def test_a_device_that_does_not_compute_is_refused_in_python_too() -> None:
    with pytest.raises(UserError, match="meta is not a device to compute on; give cpu"):
        resolve_device("meta")


@pytest.mark.slow
def test_a_name_that_the_console_cannot_show_does_not_lose_the_result(tmp_path: Path) -> None:
    picture, out = tmp_path / "a.png", tmp_path / "结果"
    Image.new("RGB", (64, 48), (90, 120, 30)).save(picture)
    done = page4d("predict", str(picture), "--device", "cpu", "--out", str(out), PYTHONIOENCODING="cp1252")
    assert done.returncode == 0, done.stderr
    assert rb"\u7ed3\u679c: 1 frame" in done.stdout
    assert len(Prediction.load(out / "prediction.npz")) == 1


def test_a_mistake_with_a_strange_name_is_one_line() -> None:
    done = page4d("predict", "结果.png", "--out", "o", PYTHONIOENCODING="ascii", PYTHONUTF8="1")
    assert done.returncode == 2
    assert rb"page4d: error: \u7ed3\u679c.png does not exist" in done.stderr


def test_text_is_written_in_utf_8_whatever_the_locale(tmp_path: Path) -> None:
    code = "import sys; from page4d.schema import atomic_write as write\n"
    code += "with write(sys.argv[1], 'w') as stream: stream.write('\\xe9\\n')"
    command = [sys.executable, "-X", "utf8=0", "-c", code, str(tmp_path / "x.txt")]
    subprocess.run(command, env=os.environ | {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0"}, check=True)
    assert (tmp_path / "x.txt").read_bytes() == b"\xc3\xa9\n"
    with atomic_write(tmp_path / "b.bin") as stream:
        stream.write(b"\r\n")
    assert (tmp_path / "b.bin").read_bytes() == b"\r\n"


FOLDERS = [
    "/data/my data (1)", "/data/b=c", "/data/b,c", "/data/[old]", "/data/{new}", "C:\\data", "/data/it's", "/data/日本",
    "/data/\\", "C:\\it's (1)\\", "a\\'b", "/data/ä#1", "~/x;y", "plain/folder", "",
]  # fmt: skip


@pytest.mark.parametrize("folder", FOLDERS)
def test_any_folder_can_be_named_in_a_setting(folder: str) -> None:
    assert compose_run([f"paths.data={folder}"])["paths"]["data"] == folder


def test_hydras_own_quotes_and_values_keep_their_meaning() -> None:
    config = compose_run(["paths.data='a b'", "trainer.seed=3", "optim.betas=[0.5,0.6]", "+paths.extra={a: 1}"])
    assert config["paths"]["data"] == "a b"
    assert config["trainer"]["seed"] == 3
    assert config["optim"]["betas"] == [0.5, 0.6]
    assert config["paths"]["extra"] == {"a": 1}


def test_training_without_words_asks_for_an_experiment(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train"]) == 2
    said = capsys.readouterr().err
    assert "name an experiment, as in `page4d train experiment=smoke`; there are paper, small, smoke, tiny_" in said


@pytest.mark.parametrize("shell", SHELLS)
def test_completion_knows_every_command_and_its_options(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print-completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(command in script for command in COMMANDS)
    assert "background-points" in script
    assert "kubric-tracks" in script


def test_the_bash_completion_is_a_valid_script(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["--print-completion=bash"]) == 0
    script = tmp_path / "page4d.bash"
    script.write_text(capsys.readouterr().out)
    ask = f"source {script}; COMP_WORDS=(page4d predict --max-); COMP_CWORD=2; _shtab_page4d; echo ${{COMPREPLY[@]}}"
    done = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=False)
    assert done.stdout.split() == ["--max-frames", "--max-points"]


def test_an_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--print-completion", "fish"]) == 2
    assert "invalid choice: 'fish'" in capsys.readouterr().err


@pytest.mark.parametrize(("name", "value"), [("RANK", "x"), ("WORLD_SIZE", "0"), ("WORLD_SIZE", "-2"), ("RANK", "1.5")])
def test_what_launchers_say_is_a_number(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UserError, match=f"{name}='{value}' in the environment; expected a whole number"):
        process()
    monkeypatch.setenv(name, "")
    assert process() == (0, 1)


def test_an_address_that_cannot_be_listened_on_is_told_before_weights_are_loaded() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=rf"cannot listen on 127\.0\.0\.1 port {port}: .*in use"):
            check_address("127.0.0.1", port)
    check_address("127.0.0.1", port)
    with pytest.raises(UserError, match=r"cannot listen on no such host port 7860: .*; choose another --host"):
        check_address("no such host", 7860)


def test_a_notice_is_one_line_once(capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):  # a second command in the same process tells again
        with _notices_in_one_line():
            for text in ("a.heic is left out", "a.heic is left out", "b.heic is left out"):
                notice(text)
        assert capsys.readouterr().err == "page4d: note: a.heic is left out\npage4d: note: b.heic is left out\n"


def test_a_setting_that_an_experiment_makes_is_told_with_the_words_that_were_typed(capsys):
    wrong = "data.val.dynamic-val.batch_size, which does not go with data=folder: it is not a setting"
    for experiment in ("smoke", "tiny_pretrain"):
        assert main(["train", f"experiment={experiment}", "data=folder"]) == 2
        assert f"experiment={experiment} sets {wrong}" in capsys.readouterr().err
    assert main(["check-data", "experiment=tiny_pretrain", "data=folder"]) == 2
    assert "experiment=tiny_pretrain sets data.device, which" in capsys.readouterr().err
