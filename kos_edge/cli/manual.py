"""Man pages from what `--help` says: one for kos-edge, one for each of its commands and groups."""

from __future__ import annotations

import gzip
import inspect
import re
import textwrap
from collections.abc import Iterator
from itertools import chain

import click
from click.shell_completion import get_completion_class

from kos_edge.cli import COMPLETE
from kos_edge.cli.commands import SECTIONS, kos_edge
from kos_edge.cli.telling import NAME

_WIDTH = 78

SHELLS = ("bash", "zsh", "fish")


def completions() -> dict[str, str]:
    """What each shell has to read."""
    found = {}
    for shell in SHELLS:
        kind = get_completion_class(shell)
        assert kind is not None
        found[shell] = kind(kos_edge, {}, NAME, COMPLETE).source()
    return found


def pages(version: str, date: str) -> dict[str, bytes]:
    """The pages in man(7), compressed as Debian wants them, by file name; `date` as in 2026-11-24."""
    title = f'"{date}" "kos-edge {version}" "kos-edge"'
    found = {f"{NAME}.1": _page(kos_edge, NAME, title)}
    with click.Context(kos_edge, info_name=NAME) as context:
        for name in kos_edge.list_commands(context):
            command = kos_edge.get_command(context, name)
            assert command is not None
            found[f"{NAME}-{name}.1"] = _page(command, f"{NAME} {name}", title)
    return {f"{name}.gz": gzip.compress(text.encode(), 9, mtime=0) for name, text in found.items()}


def _page(command: click.Command, path: str, title: str) -> str:
    lines = [
        f'.TH "{path.replace(" ", "-").upper()}" "1" {title}',
        ".SH NAME",
        f"{_escaped(path.replace(' ', '-'))} \\- {_escaped(_summary(command))}",
        ".SH SYNOPSIS",
    ]
    every = list(_commands(command, path))
    for each, words in every:
        lines += [f".B {_escaped(words)}", _escaped(" ".join(_usage(each, words))), ".br"]
    lines = lines[:-1]
    lines += [".SH DESCRIPTION", *_prose(command)]
    if command is kos_edge:
        for title, section in SECTIONS.items():
            lines.append(f'.SS "{title}"')
            for name, (_, about) in section.items():
                lines += [".TP", f".BR kos-edge-{_escaped(name)} (1)", _text(about)]
    lines += _options(command, path)
    for each, words in every if every[0][0] is not command else every[1:]:
        lines += [f'.SH "{_escaped(words).upper()}"', *_prose(each), *_options(each, words, heading=".SS")]
    lines += [".SH SEE ALSO"]
    lines += [".BR systemctl (1)" if command is kos_edge else ".BR kos-edge (1)"]
    lines += [".PP", "The exit codes, and all else: /usr/share/doc/kos-edge/cli.md"]
    return "\n".join(chain.from_iterable(map(_wrapped, lines))) + "\n"


def _commands(command: click.Command, path: str) -> Iterator[tuple[click.Command, str]]:
    """The command, and of a group each one in it."""
    group = isinstance(command, click.Group) and command is not kos_edge
    if not group or getattr(command, "invoke_without_command", False):
        yield command, path
    if not group:
        return
    assert isinstance(command, click.Group)
    with click.Context(command, info_name=path) as context:
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            assert inner is not None
            yield from _commands(inner, f"{path} {name}")


def _usage(command: click.Command, path: str) -> list[str]:
    with click.Context(command, info_name=path) as context:
        return command.collect_usage_pieces(context)


def _summary(command: click.Command) -> str:
    text = inspect.cleandoc(command.help or "").split("\n\n")[0].replace("\n", " ")
    return re.split(r"[.:;] ", text)[0].rstrip(".")


def _prose(command: click.Command) -> Iterator[str]:
    for number, paragraph in enumerate(inspect.cleandoc(command.help or "").split("\n\n")):
        if number:
            yield ".PP"
        verbatim = paragraph.startswith("\b")
        lines = paragraph.removeprefix("\b").strip("\n").splitlines()
        if verbatim:
            yield ".nf"
            yield from map(_text, lines)
            yield ".fi"
        else:
            yield _text(" ".join(line.strip() for line in lines))


def _options(command: click.Command, path: str, heading: str = ".SH") -> list[str]:
    lines = [f"{heading} OPTIONS"]
    with click.Context(command, info_name=path) as context:
        for parameter in command.get_params(context):
            record = parameter.get_help_record(context)
            if record is not None:
                names, about = record
                lines += [".TP", f".B {_escaped(names)}", _text(about)]
    return lines if len(lines) > 1 else []


def _wrapped(line: str) -> list[str]:
    """A line of prose in several, each a new sentence or so; requests stay whole."""
    if len(line) <= _WIDTH or line.startswith("."):
        return [line]
    return [
        _text_safe(each)
        for each in textwrap.wrap(line, _WIDTH, break_on_hyphens=False, break_long_words=False)
    ]


def _text_safe(line: str) -> str:
    return f"\\&{line}" if line[:1] in (".", "'") else line


def _text(text: str) -> str:
    """A line of prose: one that begins with a dot or a quote would be a command of roff."""
    return _text_safe(_escaped(text))


def _escaped(text: str) -> str:
    plain = text.replace("\\", "\\e").replace("-", "\\-").replace("`", "\\(ga").replace("'", "\\(aq")
    return plain.replace("…", "...").replace("^", "\\(ha").replace("~", "\\(ti")
