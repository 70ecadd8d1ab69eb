"""The command line: `page4d COMMAND ...`.

Only the chosen command's module is imported, so that help, version and typing mistakes answer at once. A command is a
module with `add_arguments(parser)` and `run(args) -> exit code`; its heavy imports stand inside `run`.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType, ModuleType

from page4d.extras import extras_named
from page4d.schema import UserError
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
    "demo": ("page4d.cli.demo", "a small web page to try the network"),
    "book": ("page4d.cli.book", "run all chapters and build the book"),
}

EXIT_USER_ERROR = 2
EXIT_INTERRUPTED = 130  # the last three are 128 + the signal's number, as shells count
EXIT_PIPE_CLOSED = 141
EXIT_TERMINATED = 143


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 well, 2 the user's mistake, 130 interrupted, 143 terminated."""
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        with _termination_cleans_up():
            try:
                return _dispatch(words)
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
        return _fail(str(error))
    except KeyboardInterrupt:
        print("page4d: interrupted", file=sys.stderr)
        return EXIT_INTERRUPTED


def _dispatch(words: list[str]) -> int:
    parser, chosen, module = _parser(words)
    args, unknown = parser.parse_known_args(words)
    if unknown:
        chosen.error(f"unrecognized arguments: {' '.join(unknown)}")  # with the usage of this command, not of all
    if module is None:
        parser.print_help()
        return EXIT_USER_ERROR
    with extras_named(f"page4d {args.command}"):
        return int(module.run(args))


def _parser(words: list[str]) -> tuple[argparse.ArgumentParser, argparse.ArgumentParser, ModuleType | None]:
    """The parser with all commands named, that of the command that `words` choose (else the first), and its module."""
    parser = argparse.ArgumentParser(
        prog="page4d", description="Cameras, depth, points and the moving mask of moving scenes (PAGE-4D)."
    )
    parser.add_argument("--version", action="version", version=f"page4d {__version__}")
    chosen = next((word for word in words if not word.startswith("-")), None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", title="commands")
    used, module = parser, None
    for name, (path, summary) in COMMANDS.items():
        sub = commands.add_parser(name, help=summary, description=f"{summary[0].upper()}{summary[1:]}.")
        if name == chosen:
            used, module = sub, importlib.import_module(path)
            module.add_arguments(sub)
    return parser, used, module


@contextmanager
def _termination_cleans_up() -> Iterator[None]:
    """Leave on SIGTERM as on any error, so that a cluster that ends a job leaves nothing half-written."""

    def leave(_signal: int, _frame: FrameType | None) -> None:
        raise SystemExit(EXIT_TERMINATED)

    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return
    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before or signal.SIG_DFL)


def _fail(message: str) -> int:
    print(f"page4d: error: {message}", file=sys.stderr)
    return EXIT_USER_ERROR
