"""`page4d book`: execute the chapters through papermill and build the book from the executed copies."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from page4d.cli.values import named_path, whole

if TYPE_CHECKING:
    from page4d.book.chapters import Chapter, Execution, RunPlan
    from page4d.book.profiles import Profile


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `page4d book`."""
    parser.add_argument(
        "--out", type=named_path, default=Path("build/book"), help="folder to build in (default: %(default)s)"
    )
    parser.add_argument(
        "--root", type=named_path, default=Path(), help="checkout with book/ and notebooks/ (default: here)"
    )
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
    parser.add_argument(
        "--jobs", type=whole(), default=0, metavar="N", help="chapters at a time (default: 2, or one on each GPU)"
    )
    parser.add_argument(
        "--profile", default="ci", metavar="NAME",
        help="ci: small networks, synthetic scenes; gpu: released networks, real data (book/profiles/gpu.yaml)",
    )  # fmt: skip
    parser.add_argument(
        "--paths",
        type=named_path,
        metavar="FILE",
        help="YAML with the folders that a profile asks for, one `name: path` a line",
    )
    parser.add_argument(
        "--pdf", action="store_true", help="print the pages into one PDF, too: page4d.pdf in the folder of the book"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would run and what is missing (weights, data, memory), and stop",
    )


def run(args: argparse.Namespace) -> int:
    """Execute, then build; 0 if the book stands, 1 if a chapter or the build failed or something is missing."""
    from page4d.book.chapters import ChapterError, assign_parameters, find_chapters
    from page4d.book.commands import commands_page
    from page4d.book.profiles import gpu_memory_gb, plan_text, read_paths, read_profile
    from page4d.book.runs import default_jobs, execute_all, stages
    from page4d.book.site import SiteError, build_site
    from page4d.cli import full_parser
    from page4d.cli.outfolder import check_place

    check_place(args.out, "--out")
    chapters = find_chapters(args.root, args.chapters)
    given = assign_parameters(chapters, dict(args.parameters))
    profile = read_profile(args.root, args.profile, find_chapters(args.root))
    paths = read_paths(args.paths)
    memory_gb = gpu_memory_gb() if args.dry_run or profile.parameters else []
    text, ready = plan_text(profile.changed_by(given), chapters, paths, memory_gb, args.out)
    if args.dry_run or not ready:
        print(text, file=sys.stdout if args.dry_run else sys.stderr)
        return 0 if ready else 1
    parameters = {c.name: profile.filled(c.name, paths) | given[c.name] for c in chapters}
    executed = args.out / "executed"
    executed.mkdir(parents=True, exist_ok=True)
    gpus = range(len(memory_gb)) if profile.parameters else ()
    try:
        found: dict[str, Execution] = {}
        for group in stages(chapters, parameters):
            # Keys are made now: what a chapter reads may be what those before it have just written.
            plans, kept = _plans(args, group, parameters, profile, executed)
            found |= kept | execute_all(plans, executed, args.jobs or default_jobs(gpus), gpus, _say)
        _say(f"building the pages from {executed}")
        pages = {"commands": commands_page(*full_parser())}
        page = build_site(args.root, args.out, [found[chapter.name] for chapter in chapters], pages)
    except (ChapterError, SiteError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"the book: {page.resolve().as_uri()}")
    if args.pdf:
        _say(f"on paper: {_printed(page.parent, args.out)}")
    return 0


def _printed(html: Path, out: Path) -> str:
    from page4d.book.pdf import print_book
    from page4d.book.site import pages_of

    target = out / "page4d.pdf"
    sheets = print_book(html, pages_of(out), target)
    return f"{target} with {sheets} sheets"


def _plans(
    args: argparse.Namespace,
    chapters: Sequence[Chapter],
    parameters: Mapping[str, Mapping[str, Any]],
    profile: Profile,
    executed: Path,
) -> tuple[list[RunPlan], dict[str, Execution]]:
    """What has to run, and what ran before and is kept."""
    from page4d.book.chapters import plan_run, reusable

    plans, kept = [], {}
    for chapter in chapters:
        plan = plan_run(chapter, parameters[chapter.name], args.root, profile.made_by(chapter.name))
        execution = reusable(plan, executed) if args.reuse else None
        if execution is None:
            plans.append(plan)
        else:
            _say(f"{chapter.name} (reused)")
            kept[chapter.name] = execution
    return plans, kept


def _say(text: str) -> None:
    print(text, flush=True)
