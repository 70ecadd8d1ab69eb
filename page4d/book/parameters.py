"""What a chapter does before anything else: check the parameters that it was given, and tell warnings in plain words.

papermill itself only warns of a name that no cell assigns.
"""

from __future__ import annotations

import ast
import warnings
from collections.abc import Sequence
from typing import Any

from page4d.schema import UserError
from page4d.settings import did_you_mean

INJECTED = "# Parameters\n"  # how papermill begins the cell that it puts after a chapter's own parameters


def check_parameters() -> None:
    """Refuse a parameter that this chapter does not have; stands right after its parameters cell.

    Note:    reads the cells that ran before, so that outside a notebook there is nothing to check. From there on the
             notebook's warnings are one line each, without the place in the code: a page that anybody reads would
             name folders of the machine that built it.
    Raises:  UserError naming the parameter, what comes near and all that there are.
    """
    shell = _shell()
    if shell is not None:
        warnings.formatwarning = in_one_line
        check_cells(shell.user_ns.get("In", ()))


def in_one_line(message: Warning | str, category: type[Warning], *_place: Any, **_more: Any) -> str:
    """A warning as a reader needs it: its kind and its words."""
    return f"{category.__name__}: {message}\n"


def check_cells(cells: Sequence[str]) -> None:
    """The check itself, on the cells that ran.

    Raises:  UserError as `check_parameters`.
    """
    ran = [cell for cell in cells if cell.strip()]
    own = [name for cell in ran[:1] for name in _assigned(cell)]
    for cell in ran[1:]:
        for name in _assigned(cell) if cell.startswith(INJECTED) else ():
            if name not in own:
                hint = did_you_mean(name, own)
                raise UserError(f"this chapter has no parameter {name!r}{hint or '.'} It has: {', '.join(own)}")


def _assigned(cell: str) -> list[str]:
    assignments = (line for line in ast.parse(cell).body if isinstance(line, ast.Assign))
    return [ast.unparse(target) for line in assignments for target in line.targets]


def _shell() -> Any:
    """The notebook's shell; None outside of one."""
    try:
        from IPython import get_ipython
    except ModuleNotFoundError:
        return None
    shell: Any = get_ipython()
    return shell
