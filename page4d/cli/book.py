"""`page4d book`: execute the chapters through papermill and build the book from the executed copies."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `page4d book`."""
    parser.add_argument(
        "--out", type=Path, default=Path("build/book"), help="folder to build in (default: %(default)s)"
    )
    parser.add_argument("--root", type=Path, default=Path(), help="checkout with book/ and notebooks/ (default: here)")
    parser.add_argument(
        "--chapters", nargs="+", default=[], metavar="NAME", help="only these, by name, number or both: 01 quickstart"
    )
    parser.add_argument(
        "-p", "--parameter", nargs=2, action="append", default=[], metavar=("NAME", "VALUE"), dest="parameters",
        help="replace a value of the chapters' parameters cells, e.g. -p weights nomask",
    )  # fmt: skip
    parser.add_argument(
        "--reuse", action="store_true",
        help="keep executed chapters whose source, parameters and page4d itself are unchanged since",
    )  # fmt: skip


def run(args: argparse.Namespace) -> int:
    """Execute, then build; 0 if the book stands, 1 if a chapter or the build failed."""
    from page4d.book.chapters import (
        ChapterError,
        assign_parameters,
        execute,
        execution_key,
        find_chapters,
        reusable,
    )
    from page4d.book.site import SiteError, build_site

    chapters = find_chapters(args.root, args.chapters)
    parameters = assign_parameters(chapters, dict(args.parameters))
    executed = args.out / "executed"
    executed.mkdir(parents=True, exist_ok=True)
    executions = []
    try:
        for number, chapter in enumerate(chapters, start=1):
            key = execution_key(chapter, parameters[chapter.name], args.root)
            execution = reusable(chapter, key, executed) if args.reuse else None
            print(f"[{number}/{len(chapters)}] {chapter.name}{' (reused)' if execution else ''}", flush=True)
            executions.append(execution or execute(chapter, parameters[chapter.name], key, executed))
        print(f"building the pages from {executed}", flush=True)
        page = build_site(args.root, args.out, executions)
    except (ChapterError, SiteError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"the book: {page.resolve().as_uri()}")
    return 0
