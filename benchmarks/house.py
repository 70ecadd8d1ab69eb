"""How the code reads, in numbers: what a change to the house is judged by, for one revision or for two.

Run:     python benchmarks/house.py [REVISION ...]          (default: the working tree)
         python benchmarks/house.py --names                 (which names mean two things)
Note:    a duplicated block is six lines in a row, spaces apart, that stand in two places of the package. A name means
         two things if two modules of the package define a public class or function of that name.
"""

from __future__ import annotations

import argparse
import ast
import io
import json
import re
import statistics
import subprocess
import sys
import tarfile
import tempfile
import tokenize
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT / "tests"))
from style_rules import DEFINITIONS, MAX_NODES, own_nodes  # noqa: E402, the rules that the tests hold

BLOCK_LINES = 6
# One word for the same job in each room, as a table calls it; they are reached through their module.
ONE_JOB = {"add_arguments", "run", "write", "setup", "main"}


def main() -> None:
    """Print a column per revision."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("revisions", nargs="*")
    parser.add_argument("--names", action="store_true")
    args = parser.parse_args()
    if args.names:
        for name, modules in sorted(names_of_two_things(ROOT).items()):
            print(f"{name}: {', '.join(modules)}")
        return
    columns = {revision: counts_at(revision) for revision in args.revisions} or {"working tree": counts(ROOT)}
    print(json.dumps(columns, indent=1))


def counts_at(revision: str) -> dict[str, float]:
    """Every count at a revision."""
    archive = subprocess.run(["git", "archive", revision], cwd=ROOT, capture_output=True, check=True).stdout
    with tempfile.TemporaryDirectory() as folder:
        with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
            tar.extractall(folder, filter="data")
        return counts(Path(folder))


def counts(root: Path) -> dict[str, float]:
    """Every count of a tree."""
    sources = {path: path.read_text(encoding="utf-8") for path in sorted((root / "page4d").rglob("*.py"))}
    statements = [node for text in sources.values() for node in statements_of(text)]
    sizes = [len(list(own_nodes(node))) for node in statements]
    conditional = sum(any(isinstance(inner, ast.IfExp) for inner in own_nodes(node)) for node in statements)
    comments, code = comment_lines(list(sources.values()))
    names, modules = chapter_imports(root)
    return {
        "files": len(sources),
        "statements": len(sizes),
        "median size of a statement, syntax nodes": statistics.median(sizes),
        f"statements above {MAX_NODES} nodes, %": round(100 * sum(n > MAX_NODES for n in sizes) / len(sizes), 2),
        "statements with a conditional expression, %": round(100 * conditional / len(sizes), 1),
        "comments per 100 lines of code": round(100 * comments / code, 1),
        "longest file, lines": max(len(text.splitlines()) for text in sources.values()),
        "duplicated blocks": duplicated_blocks(list(sources.values())),
        "names that mean two things": len(names_of_two_things(root)),
        "names that chapters import": names,
        "modules that chapters import from": modules,
        **files_to_touch(root),
    }


def statements_of(source: str) -> Iterator[ast.stmt]:
    """Statements that are not definitions, imports or docstrings."""
    for node in ast.walk(ast.parse(source)):
        docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        if isinstance(node, ast.stmt) and not isinstance(node, DEFINITIONS) and not docstring:
            yield node


def comment_lines(sources: list[str]) -> tuple[int, int]:
    """Comments, switches for tools apart, and lines of code."""
    comments, code = 0, 0
    layout = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER}
    for source in sources:
        lines = set()
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                comments += not re.match(r"# (fmt|type|noqa)", token.string)
            elif token.type not in layout:
                lines.add(token.start[0])
        code += len(lines)
    return comments, code


def duplicated_blocks(sources: list[str]) -> int:
    """Runs of lines that stand elsewhere, too: `BLOCK_LINES` or more in a row."""
    files = [blocks_of(source) for source in sources]
    times = Counter(block for blocks in files for block in blocks)
    runs = 0
    for blocks in files:
        repeated = [times[block] > 1 for block in blocks]
        runs += sum(here and not before for before, here in zip([False, *repeated], repeated, strict=False))
    return runs


def blocks_of(source: str) -> list[tuple[str, ...]]:
    """Every few lines in a row; imports and lone brackets, which repeat without saying anything, are left out."""
    lines = [line.strip() for line in source.splitlines()]
    lines = [line for line in lines if len(line) > 3 and not re.match(r"from |import |#|\w+ as \w+,", line)]
    return [tuple(lines[start : start + BLOCK_LINES]) for start in range(len(lines) - BLOCK_LINES + 1)]


def names_of_two_things(root: Path) -> dict[str, list[str]]:
    """Public classes and functions that more than one module of the package defines, with those modules."""
    # A dict for its order; one module may say a name several times, to give types to each kind of argument.
    where: dict[str, dict[str, None]] = defaultdict(dict)
    for path in sorted((root / "page4d").rglob("*.py")):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
                where[node.name][str(path.relative_to(root).with_suffix("")).replace("/", ".")] = None
    return {name: list(found) for name, found in where.items() if len(found) > 1 and name not in ONE_JOB}


def chapter_imports(root: Path) -> tuple[int, int]:
    """How many names and modules of the package the chapters import."""
    names, modules = set(), set()
    for path in (root / "notebooks").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "page4d":
                modules.add(node.module)
                names |= {(node.module, alias.name) for alias in node.names}
    return len(names), len(modules)


def files_to_touch(root: Path) -> dict[str, float]:
    """How many files CONTRIBUTING lists for each kind of addition."""
    text = (root / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| (an? [\w ]+) \| (`.*) \|$", text, re.MULTILINE)
    return {f"files to touch for {kind}": len(re.findall(r"`[^`]+`", files)) for kind, files in rows}


if __name__ == "__main__":
    main()
