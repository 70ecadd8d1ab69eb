"""Ctrl-C and SIGTERM reach a command wherever Python happens to be."""

from __future__ import annotations

import signal
import sys
import time

import pytest

from page4d.cli import main


class Lost:
    """An end that Python runs by itself: what is raised in it is printed and forgotten."""

    def __init__(self, raised: BaseException) -> None:
        self.raised = raised

    def __del__(self) -> None:
        raise self.raised


@pytest.mark.parametrize(("raised", "code"), [(KeyboardInterrupt(), 130), (SystemExit(143), 143)])
def test_a_signal_that_python_lost_comes_again(
    raised: BaseException, code: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(_: list[str]) -> int:
        Lost(raised)
        for _ in range(1000):
            time.sleep(0.01)
        return 0

    monkeypatch.setattr("page4d.cli._dispatch", work)
    before = sys.unraisablehook
    # A shell starts what it puts into the background deaf to Ctrl-C.
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert code_of([]) == code
    finally:
        signal.signal(signal.SIGINT, handler)
    assert sys.unraisablehook is before


def code_of(words: list[str]) -> int | str | None:
    """What the shell sees of a command."""
    try:
        return main(words)
    except SystemExit as left:
        return left.code


def test_too_little_memory_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def work(_: list[str]) -> int:
        raise MemoryError("Unable to allocate 3.00 TiB")

    monkeypatch.setattr("page4d.cli._dispatch", work)
    assert main([]) == 2
    assert "page4d: error: memory does not suffice (Unable to allocate 3.00 TiB); take" in capsys.readouterr().err


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_of_which_a_library_makes_an_error(
    number: int, code: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def work(_: list[str]) -> int:
        try:
            signal.raise_signal(number)
        except BaseException as lost:
            raise ValueError("could not determine the shape of object type 'torch.storage.UntypedStorage'") from lost
        return 0

    monkeypatch.setattr("page4d.cli._dispatch", work)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert code_of([]) == code
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, handler)
    assert "Traceback" not in capsys.readouterr().err
