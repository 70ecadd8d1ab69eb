"""The page of commands: usage and options of each, made of the parsers that answer `--help`."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator, Mapping

WIDTH = 88
SPECIAL = re.compile(r"([\\`*_\[\]<>{}$|#~@])")
CODE = re.compile(r"(`[^`]+`)")
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z-]*")


def commands_page(parser: argparse.ArgumentParser, commands: Mapping[str, argparse.ArgumentParser]) -> str:
    """The page in MyST Markdown: what `page4d --help` lists, then a section for each command."""
    about = (
        f"What `{parser.prog} COMMAND --help` says, on one page. `train` and `evaluate` also take settings, "
        "`name=value`; their groups are the folders of `conf/`."
    )
    lines = ["# Commands", "", about, "", *_listing(parser)]
    for name, command in commands.items():
        lines += [f"## {parser.prog} {name}", "", _plain(command.description or ""), "", *_listing(command)]
    return "\n".join(lines)


def _listing(parser: argparse.ArgumentParser) -> list[str]:
    formatter = argparse.HelpFormatter(parser.prog, width=WIDTH)
    formatter.add_usage(parser.usage, parser._actions, parser._mutually_exclusive_groups)
    lines = ["```text", formatter.format_help().strip(), "```", ""]
    for group in parser._action_groups:
        shown = [row for action in group._group_actions for row in _rows(formatter, action)]
        if shown:
            title = str(group.title).capitalize()
            lines += [f"**{title}**", "", *_about(group), *shown]
    return lines


def _about(group: argparse._ArgumentGroup) -> list[str]:
    return [_plain(group.description), ""] if group.description else []


def _rows(formatter: argparse.HelpFormatter, action: argparse.Action) -> Iterator[str]:
    """An argument as a term with its definition; a list of commands as one term each."""
    if action.help == argparse.SUPPRESS:
        return
    if isinstance(action, argparse._SubParsersAction):
        for each in action._get_subactions():
            yield f"`{each.dest}`\n: {_plain(each.help or '')}\n"
        return
    words = formatter._expand_help(action) if action.help else "no further words"
    yield f"`{formatter._format_action_invocation(action)}`\n: {_plain(' '.join(words.split()))}\n"


def _plain(text: str) -> str:
    """Help as Markdown: what stands in backticks stays code, and options become code."""
    pieces = CODE.split(text)
    pieces[::2] = [OPTION.sub(r"`\g<0>`", SPECIAL.sub(r"\\\1", words)) for words in pieces[::2]]
    return "".join(pieces)
