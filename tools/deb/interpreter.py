"""The Pythons of this machine, found by asking them: a name alone may be a shim that runs nothing."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path

_ASK = "import sys; print(*sys.version_info[:2], sep='.'); print(sys.implementation.cache_tag); print(sys.executable)"
_ANSWER_S = 20
"""A cold start on a busy machine takes 2 s."""


def interpreter(version: str, environment: Mapping[str, str] = os.environ) -> Path | None:
    """A CPython that says it is `version` ("3.11"), the system's first; None where there is none."""
    return next(
        (found for each in _candidates(version, environment) if (found := _answer(each, version))), None
    )


def _candidates(version: str, environment: Mapping[str, str]) -> Iterator[Path]:
    """pyenv puts a `python3.13` on the path that fails unless 3.13 is chosen, so its versions are looked at, too."""
    name = f"python{version}"
    yield Path("/usr/bin") / name
    yield from (Path(folder) / name for folder in environment.get("PATH", "").split(":") if folder)
    root = environment.get("PYENV_ROOT") or (Path(environment.get("HOME", "/nonexistent")) / ".pyenv")
    yield from sorted(Path(root).glob(f"versions/{version}.*/bin/{name}"))


def _answer(program: Path, version: str) -> Path | None:
    try:
        done = subprocess.run([program, "-I", "-c", _ASK], capture_output=True, text=True, timeout=_ANSWER_S)
    except (OSError, subprocess.TimeoutExpired):
        return None
    match done.stdout.splitlines():
        case [said, tag, executable] if (
            done.returncode == 0 and said == version and tag.startswith("cpython-")
        ):
            return Path(executable)
    return None
