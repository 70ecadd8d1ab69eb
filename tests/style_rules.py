"""Rules of the house style that no public tool knows; each reads a source text and yields its complaints."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Iterator

MAX_NODES, MAX_COMPREHENSIONS = 45, 1
LABELS = ("Shapes", "Units", "Frame", "Note", "Raises", "Source")
COMPREHENSIONS = (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Import, ast.ImportFrom)
PLAIN = (
    ast.Constant, ast.Name, ast.Attribute, ast.List, ast.Tuple, ast.Set, ast.Dict, ast.UnaryOp, ast.USub,
    ast.expr_context,
)  # fmt: skip


def dense_statements(source: str) -> Iterator[str]:
    """Statements of too many syntax nodes or more than one comprehension; messages and tables apart."""
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.stmt) or isinstance(node, DEFINITIONS):
            continue
        own = list(own_nodes(node))
        comprehensions = sum(isinstance(inner, COMPREHENSIONS) for inner in own)
        if comprehensions > MAX_COMPREHENSIONS:
            yield f"line {node.lineno}: {comprehensions} comprehensions in one statement"
        elif len(own) > MAX_NODES and not isinstance(node, ast.Raise) and not _is_table(node):
            yield f"line {node.lineno}: {len(own)} syntax nodes in one statement"


def own_nodes(node: ast.AST) -> Iterator[ast.AST]:
    """A statement's own nodes: not those of the statements inside it, of its types, or of formatted text."""
    yield node
    if isinstance(node, ast.JoinedStr):
        return
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not isinstance(child, ast.stmt | ast.ExceptHandler | ast.match_case):
                yield from own_nodes(child)


def _is_table(node: ast.stmt) -> bool:
    """Whether a value of plain names and literals, or of records made of such, is given a name."""
    if not isinstance(node, ast.Assign | ast.AnnAssign) or node.value is None:
        return False
    return all(isinstance(inner, PLAIN) or _is_record(inner) for inner in ast.walk(node.value))


def _is_record(node: ast.AST) -> bool:
    """A row of a table with names for its columns: the call of a class, or one of its keywords."""
    if isinstance(node, ast.keyword):
        return True
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id[:1].isupper()


def strange_labels(source: str) -> Iterator[str]:
    """Labels in docstrings that are not of the fixed set, which the API pages are made of."""
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(ast.parse(source)):
        text = ast.get_docstring(node) if isinstance(node, documented) else None
        for label in re.findall(r"^([A-Z][a-z]+):(?=\s|$)", inspect.cleandoc(text or ""), re.MULTILINE):
            if label not in LABELS:
                yield f"{getattr(node, 'name', 'the module')}: {label}:"


def text_without_encoding(source: str) -> Iterator[str]:
    """Text read or written in whatever encoding the machine's locale has."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and _is_text_io(node) and not any(k.arg == "encoding" for k in node.keywords):
            yield f"line {node.lineno}: {ast.unparse(node.func)} without encoding"


def _is_text_io(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    if name in ("read_text", "write_text"):
        return True
    if name not in ("open", "fdopen"):
        return False
    method = isinstance(call.func, ast.Attribute) and name == "open"
    modes = call.args[0 if method else 1 :][:1]
    if not modes:
        return not method or not call.args  # text is what open() without a mode means
    mode = modes[0]
    return isinstance(mode, ast.Constant) and bool(re.fullmatch(r"[rwax+t]+", str(mode.value)))
