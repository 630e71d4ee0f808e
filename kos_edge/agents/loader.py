"""Agent files: `load(path)` imports one apart from everything else and gives back the agents in it."""

from __future__ import annotations

import re
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import module_from_spec, spec_from_file_location
from itertools import count
from pathlib import Path
from types import ModuleType

from kos_edge.agents.agent import Agent
from kos_edge.agents.check import check
from kos_edge.agents.tally import shown
from kos_edge.errors import Invalid, KosError

_numbers = count(1)


def load(path: Path | str) -> list[Agent]:
    """The agents that a Python file defines, in its order. Nothing is started.

    The file may import its neighbours; they are its own, whatever another agent's neighbours are called.
    Raises Invalid, with the file and the line, when it does not import, when an agent cannot work, or when
    there is none.
    """
    file = Path(path)
    if not file.is_file():
        raise Invalid(
            f"{file}: there is no such file", hint="give the path of a Python file with an Agent in it"
        )
    module = _import(file.resolve())
    agents: list[Agent] = []
    for value in vars(module).values():
        if isinstance(value, Agent) and value not in agents:
            agents.append(value)
    if not agents:
        raise Invalid(f"{file}: there is no agent in it", hint='write: agent = Agent("name")')
    for agent in agents:
        try:
            check(agent)
        except Invalid as error:
            raise Invalid(f"{file}: {error.message}", hint=error.hint) from None
    return agents


def _import(file: Path) -> ModuleType:
    name = f"kos_edge_agent_{next(_numbers)}_{re.sub(r'[^A-Za-z0-9_]', '_', file.stem)}"
    spec = spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise Invalid(f"{file}: this is no Python file", hint="its name has to end in .py")
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        with _neighbours(file.parent):
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise _explain(file, error) from None
    return module


@contextmanager
def _neighbours(folder: Path) -> Iterator[None]:
    """Let a file import what lies beside it, and let nobody else find that."""
    before = set(sys.modules)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        sys.path.remove(str(folder))
        for name in set(sys.modules) - before:
            origin = getattr(sys.modules[name], "__file__", None)
            if (
                origin is not None
                and Path(origin).is_relative_to(folder)
                and not name.startswith("kos_edge_agent_")
            ):
                del sys.modules[name]


def _explain(file: Path, error: BaseException) -> Invalid:
    hint = (error.hint if isinstance(error, KosError) else None) or f"mend it; to see more: python {file}"
    if isinstance(error, ModuleNotFoundError):
        hint = f"install what provides {error.name!r} into the Python that runs kos-edge ({sys.executable})"
    if isinstance(error, SyntaxError) and error.filename is not None:
        where, line = error.filename, error.lineno
        what = f"{type(error).__name__}: {error.msg}"
    else:
        frames = traceback.extract_tb(error.__traceback__)
        ours = [frame for frame in frames if Path(frame.filename).is_relative_to(file.parent)]
        where, line = (ours[-1].filename, ours[-1].lineno) if ours else (str(file), None)
        what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    place = where if line is None else f"{where}, line {line}"
    return Invalid(f"{place}: {shown(what)}", hint=hint)
