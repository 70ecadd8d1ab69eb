"""The command line: `page4d COMMAND ...`.

Only the chosen command's module is imported, so that help, version and typing mistakes answer at once. A command is a
module with `add_arguments(parser)` and `run(args) -> exit code`; its heavy imports stand inside `run`.
"""

from __future__ import annotations

import _thread
import argparse
import errno
import importlib
import io
import os
import re
import signal
import sys
import threading
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, ModuleType
from typing import Any

from page4d.extras import extras_named
from page4d.schema import Notice, UserError
from page4d.version import __version__

COMMANDS: dict[str, tuple[str, str]] = {
    "predict": ("page4d.cli.predict", "images or a video to cameras, depth, points and the moving mask"),
    "download": ("page4d.cli.download", "fetch released weights from the Hugging Face hub"),
    "prepare": ("page4d.cli.prepare", "bring a raw data set into the benchmark layout"),
    "check-data": ("page4d.cli.check_data", "look at batches of a data set, with verdicts"),
    "train": ("page4d.cli.train", "train a network; settings as Hydra overrides"),
    "evaluate": ("page4d.cli.evaluate", "run a benchmark and score its predictions"),
    "track": ("page4d.cli.track", "follow picked points through the frames"),
    "features": ("page4d.cli.features", "draw what the network's tokens hold"),
    "view": ("page4d.cli.view", "show a prediction as an interactive page"),
    "export": ("page4d.cli.export", "write a prediction for COLMAP, Blender and other tools"),
    "export-model": ("page4d.cli.export_model", "write a network as ONNX or as a torch.export program"),
    "demo": ("page4d.cli.demo", "a small web page to try the network"),
    "book": ("page4d.cli.book", "run all chapters and build the book"),
}

FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
SHELLS = ("bash", "zsh", "tcsh")
EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # the last three are 128 + the signal's number, as shells count
EXIT_PIPE_CLOSED = 141
EXIT_TERMINATED = 143


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 well, 2 the user's mistake, 130 interrupted, 143 terminated."""
    words = [_at_home(word) for word in (sys.argv[1:] if argv is None else argv)]
    _replace_closed_consoles()
    _print_any_name()
    try:
        with _termination_cleans_up() as arrived, _signals_get_through(), _notices_in_one_line():
            try:
                return _dispatch(words)
            except Exception as error:
                if arrived:  # libraries make errors of their own of a signal that reaches them
                    raise _end_of(arrived[0]) from error
                raise
            finally:
                sys.stdout.flush()  # here, where a closed pipe is caught, not at exit
    except UserError as error:
        return _fail(str(error))
    except BrokenPipeError:
        # The reader (head, less) has gone; the flush at exit must not complain either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_PIPE_CLOSED
    except OSError as error:
        if error.errno is None:
            raise
        return _fail(_of_system(error))
    except MemoryError as error:
        return _fail(f"memory does not suffice ({str(error) or 'none is left'}); take fewer frames or smaller pictures")
    except KeyboardInterrupt:
        print("page4d: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _dispatch(words: list[str]) -> int:
    parser, commands = command_parser()
    chosen = next((word for word in words if not word.startswith("-")), "")
    module = _add_arguments(commands[chosen], chosen) if chosen in commands else None
    try:
        args, unknown = parser.parse_known_args(words)
        if unknown:  # said with the usage of this command, not of all
            commands.get(chosen, parser).error(f"unrecognized arguments: {' '.join(unknown)}")
    except SystemExit as stopped:  # argparse has printed what there is to say
        return int(stopped.code or 0)
    if args.print_completion is not None:
        print(_completion(args.print_completion))
        return 0
    if module is None:
        parser.print_help()
        return EXIT_USER_ERROR
    with extras_named(f"page4d {chosen}"):
        return int(module.run(args))


def command_parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser with every command named, and each command's own, which has no arguments yet."""
    parser = argparse.ArgumentParser(
        prog="page4d", description="Cameras, depth, points and the moving mask of moving scenes (PAGE-4D)."
    )
    parser.add_argument("--version", action="version", version=f"page4d {__version__}")
    parser.add_argument(
        "--print-completion", choices=SHELLS, help="print what completes page4d's words in this shell, and stop"
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    described = {name: f"{summary[0].upper()}{summary[1:]}." for name, (_, summary) in COMMANDS.items()}
    return parser, {
        name: commands.add_parser(name, help=COMMANDS[name][1], description=text) for name, text in described.items()
    }


def full_parser() -> tuple[argparse.ArgumentParser, dict[str, argparse.ArgumentParser]]:
    """The parser with every command, and each command's own with all of its arguments."""
    parser, commands = command_parser()
    for name, command in commands.items():
        _add_arguments(command, name)
    return parser, commands


def _add_arguments(parser: argparse.ArgumentParser, command: str) -> ModuleType:
    module = importlib.import_module(COMMANDS[command][0])
    module.add_arguments(parser)
    return module


def _at_home(word: str) -> str:
    """`--out=~/x` and `paths.root=~/x` as `~/x` would be: shells look for the ~ at the beginning of a word alone."""
    found = re.fullmatch(r"([^=~]*=)?(~/.*|~)", word, re.DOTALL)
    if found is None or os.path.lexists("~"):
        return word
    return (found[1] or "") + os.path.expanduser(found[2])


def _completion(shell: str) -> str:
    """The completion script of a shell, for all commands and their options."""
    import shtab

    from page4d.cli.values import named_path

    parser, commands = full_parser()
    for command in commands.values():
        for action in command._actions:
            if action.type is named_path:
                action.complete = shtab.FILE  # type: ignore[attr-defined]
    return str(shtab.complete(parser, shell=shell))


def _replace_closed_consoles() -> None:
    """A console that is closed or was never there takes what is said: progress bars and prints need not ask.

    Note:    it also takes the number of a closed one, which the next file that is opened would get.
    """
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, for the rest of the process


def _print_any_name() -> None:
    """A file's name may hold what the console cannot show: show its code, rather than fail when the work is done."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


@contextmanager
def _termination_cleans_up() -> Iterator[list[int]]:
    """Leave on SIGTERM as on any error, so that a job that is ended leaves nothing half-written; gives what arrived."""
    arrived: list[int] = []

    def leave(number: int, _frame: FrameType | None) -> None:
        arrived.append(number)
        raise _end_of(number)

    if threading.current_thread() is not threading.main_thread():
        yield arrived  # only the main thread may set handlers
        return
    # A shell starts what it puts into the background deaf to Ctrl-C, and so it stays.
    deaf = signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    numbers = [signal.SIGTERM] if deaf else [signal.SIGTERM, signal.SIGINT]
    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield arrived
    finally:
        for number, handler in before.items():
            signal.signal(number, handler or signal.SIG_DFL)


def _end_of(number: int) -> BaseException:
    return KeyboardInterrupt() if number == signal.SIGINT else SystemExit(EXIT_TERMINATED)


@contextmanager
def _signals_get_through() -> Iterator[None]:
    """Send Ctrl-C or SIGTERM again where Python lost it: what is raised in a callback of its own ends nothing."""

    def again(lost: sys.UnraisableHookArgs) -> None:
        terminated = isinstance(lost.exc_value, SystemExit) and lost.exc_value.code == EXIT_TERMINATED
        if not terminated and not isinstance(lost.exc_value, KeyboardInterrupt):
            usual(lost)
            return
        which = signal.SIGTERM if terminated else signal.SIGINT
        # A moment later, when the callback is left.
        timers.append(threading.Timer(0.05, _thread.interrupt_main, (which,)))
        timers[-1].start()

    timers: list[threading.Timer] = []
    usual = sys.unraisablehook
    sys.unraisablehook = again
    try:
        yield
    finally:
        sys.unraisablehook = usual
        for timer in timers:
            timer.cancel()


@contextmanager
def _notices_in_one_line() -> Iterator[None]:
    """What is told about the user's input is one line on the error stream, once, without a place in the code."""
    told: set[str] = set()  # inputs are looked through before weights are loaded, and again when they are read

    def say(message: Warning | str, category: type[Warning], *place: Any, **more: Any) -> None:
        if not issubclass(category, UserWarning):
            usual(message, category, *place, **more)
        elif str(message) not in told:
            told.add(str(message))
            print(f"page4d: note: {message}", file=sys.stderr)

    with warnings.catch_warnings():
        usual = warnings.showwarning
        warnings.simplefilter("always", Notice)
        warnings.showwarning = say
        yield


def _of_system(error: OSError) -> str:
    """What the system says; of a disk that is full it names neither the file nor the way out."""
    if error.errno in FULL and error.filename is None:
        return f"the result cannot be written whole: {error.strerror}; make room or choose another place"
    if error.errno == errno.ENOENT and error.filename is None and not _place_exists():
        return "the folder you are in does not exist any more; change to another"
    return str(error)


def _place_exists() -> bool:
    try:
        os.getcwd()
    except FileNotFoundError:
        return False
    return True


def _fail(message: str) -> int:
    print(f"page4d: error: {message}", file=sys.stderr)
    return EXIT_USER_ERROR
