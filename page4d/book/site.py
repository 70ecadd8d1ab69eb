"""The site of the book: executed chapters and the pages of `book/` in, HTML that needs no network out."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, ClassVar

import yaml

from page4d.book.banner import say_how_made
from page4d.book.chapters import Execution, toc_entries
from page4d.book.exports import exports_page
from page4d.book.provenance import machine, versions
from page4d.book.reference import add_names_used, examples_in, reference_page
from page4d.book.weight import drop_unread_files, give_icon, lighten, mend_roles, offer_downloads, shrink_pictures
from page4d.evaluate.exam_results import read_result
from page4d.evaluate.verdicts import standing_text
from page4d.schema import atomic_write
from page4d.shipped import stored_results


class SiteError(Exception):
    """The pages could not be built, or would not work without a network."""


def build_site(root: Path, out: Path, executions: Sequence[Execution], pages: Mapping[str, str] | None = None) -> Path:
    """Build the book from the executed copies in `out/executed`; return its first page.

    `pages` are texts of pages that the caller makes, by their names in the table of contents. The finished site
    replaces `out/html` as the last step, so a failed build leaves the previous one in place.

    Raises:  SiteError if Jupyter Book warns or fails, or if a page refers to another host.
    """
    source, work, html = out / "source", out / "work", out / "html"
    stage(root, source, out / "executed", executions, pages)
    shutil.rmtree(work, ignore_errors=True)
    command = [str(Path(sys.executable).parent / "jupyter-book"), "build", str(source)]
    command += ["--path-output", str(work), "--warningiserror", "--keep-going", "--quiet"]
    built = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    if built.returncode != 0:
        raise SiteError(f"Jupyter Book failed (warnings count as errors):\n{built.stdout}{built.stderr}")
    finished = work / "_build" / "html"
    problems = list(external_references(finished))
    if problems:
        raise SiteError("the book would need a network:\n" + "\n".join(problems))
    lighten(finished)
    shrink_pictures(finished)
    offer_downloads(finished, root / "notebooks", source)
    drop_unread_files(finished)
    give_icon(finished)
    mend_roles(finished)
    shutil.rmtree(html, ignore_errors=True)
    finished.rename(html)
    return html / "index.html"


def stage(
    root: Path,
    source: Path,
    executed: Path,
    executions: Sequence[Execution],
    pages: Mapping[str, str] | None = None,
) -> None:
    """Lay out what Jupyter Book reads: the pages of `book/`, the executed chapters, generated pages, the contents."""
    shutil.rmtree(source, ignore_errors=True)
    shutil.copytree(root / "book", source)
    names = [execution.chapter for execution in executions]
    (source / "notebooks").mkdir()
    for execution in executions:
        copy = source / "notebooks" / f"{execution.chapter}.ipynb"
        shutil.copy(executed / copy.name, copy)
        say_how_made(copy, execution)
    toc = yaml.safe_load((root / "book" / "_toc.yml").read_text(encoding="utf-8"))
    listed = {entry["file"] for entry in toc_entries(toc)}
    made = dict(pages or {})
    if "exports" in listed:
        made["exports"] = exports_page()
    for name in listed & made.keys():
        (source / f"{name}.md").write_text(made[name], encoding="utf-8")
    if "reference" in listed:
        page = reference_page(examples_in(source / "examples"))
        (source / "reference.md").write_text(page, encoding="utf-8")
        for name in names:
            add_names_used(source / "notebooks" / f"{name}.ipynb")
    shorter = only_chapters(toc, names)
    (source / "_toc.yml").write_text(yaml.safe_dump(shorter, sort_keys=False), encoding="utf-8")
    _configure(source / "_config.yml", whole=shorter == toc)
    record = {"versions": versions(), "machine": machine(), "executions": [asdict(e) for e in executions]}
    with atomic_write(executed / "executions.json", "w") as stream:
        json.dump(record, stream, indent=1)
    (source / "status.md").write_text(status_page(record), encoding="utf-8")


def pages_of(out: Path) -> list[str]:
    """The pages of a book that was built in `out`, in the order of its table of contents."""
    toc = yaml.safe_load((out / "source" / "_toc.yml").read_text(encoding="utf-8"))
    return [toc["root"], *(entry["file"] for entry in toc_entries(toc))]


def only_chapters(toc: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    """The table of contents without the chapters that were not executed and without parts left empty."""
    wanted = {f"notebooks/{name}" for name in names}
    parts = []
    for part in toc["parts"]:
        kept = [e for e in part["chapters"] if not e["file"].startswith("notebooks/") or e["file"] in wanted]
        if kept:
            parts.append({**part, "chapters": kept})
    shorter = {**toc, "parts": parts}
    assert wanted <= {entry["file"] for entry in toc_entries(shorter)}
    return shorter


def _configure(config_path: Path, whole: bool) -> None:
    """Give the pages their sentences with numbers; in a book of some chapters, links may lead nowhere."""
    config = yaml.safe_load(config_path.read_text(encoding="utf-8"))
    sphinx = config["sphinx"]["config"]
    sphinx["myst_substitutions"] = {"small_networks": small_networks()}
    if not whole:
        sphinx["suppress_warnings"] = ["myst.xref_missing", "ref.doc", "ref.ref", "ref.numref"]
    config_path.write_text(yaml.safe_dump(config, sort_keys=False), encoding="utf-8")


def small_networks() -> str:
    """What the exams that come with the package say of the small networks, a line of a list each."""
    files = sorted(stored_results("builtin").glob("*.json"))
    return "\n".join(f"- {standing_text(read_result(file))}" for file in files)


DATA_WORDS = (
    "Data: what the parameters name on disk, as the first ten digits of a hash of names, sizes and the first and last "
    "64 kB of every file. What comes with the package or with scikit-image (weights, stored results, pictures) has "
    "the first ten digits of a hash of all its bytes. What is made up follows from the parameters and the revision."
)


def status_page(record: dict[str, Any]) -> str:
    """The page that says how each chapter was executed: Markdown from the record beside the executed copies."""
    lines = ["# Execution status", "", "Written by `page4d book` from its record of the executions.", ""]
    lines += ["| chapter | profile | seconds | finished (UTC) | parameters | data |", "|---|---|---:|---|---|---|"]
    for e in record["executions"]:
        parameters = ", ".join(f"`{name}={value!r}`" for name, value in e["parameters"].items())
        when = e["finished"][:16].replace("T", " ")
        title = f"[{e['title']}](notebooks/{e['chapter']})"
        named = {**{f"`{name}`": value for name, value in e["data"].items()}, **e["shipped"]}
        data = ", ".join(f"{name} {value[:10]}" for name, value in named.items()) or "made up"
        lines.append(f"| {title} | {e['profile']} | {e['seconds']:.1f} | {when} | {parameters} | {data} |")
    total = sum(e["seconds"] for e in record["executions"])
    lines += ["", f"{len(record['executions'])} chapters in {total:.0f} s. {DATA_WORDS}", ""]
    tables = (("Versions", "package", record["versions"]), ("Machine", "part", record["machine"]))
    for heading, kind, entries in tables:
        lines += [
            f"## {heading}",
            "",
            f"| {kind} | here |",
            "|---|---|",
            *(f"| {k} | {v} |" for k, v in entries.items()),
            "",
        ]
    return "\n".join(lines)


class _Sources(HTMLParser):
    """Collects what a page loads by itself: scripts, styles, fonts, icons, images, frames; links to click are fine."""

    LOADS: ClassVar = {"script": "src", "img": "src", "iframe": "src", "source": "src", "video": "src", "audio": "src"}
    RELS: ClassVar = {"stylesheet", "preload", "prefetch", "preconnect", "modulepreload", "icon", "shortcut"}

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag in self.LOADS:
            self.found.append(values.get(self.LOADS[tag], ""))
        elif tag == "link" and self.RELS & set(values.get("rel", "").split()):
            self.found.append(values.get("href", ""))


def external_references(html: Path) -> Iterator[str]:
    """One line for each script, style, font or image of a built page or style sheet that lies on another host."""
    for page in sorted(html.rglob("*.html")):
        parser = _Sources()
        parser.feed(page.read_text(encoding="utf-8"))
        for target in parser.found:
            if re.match(r"(https?:)?//", target):
                yield f"{page.relative_to(html)} loads {target}"
    for style in sorted(html.rglob("*.css")):
        for target in re.findall(
            r"""(?:url\(|@import)\s*["']?((?:https?:)?//[^"')\s;]+)""", style.read_text(encoding="utf-8")
        ):
            yield f"{style.relative_to(html)} loads {target}"
