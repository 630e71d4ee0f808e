"""Which programs and clients are measured beside ours, whether they are here, and how to get them."""

from __future__ import annotations

import functools
import importlib.util
import os
import re
import shutil
import subprocess
import sys
from importlib.metadata import requires
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLIENTS = ("paho", "nats")
EXTRA = "bench"
"""The extra of pyproject.toml with the clients, and with a nats-server that can sync at every write."""

_SYSTEM = os.pathsep.join(["/usr/sbin", "/usr/bin", "/usr/local/sbin", "/usr/local/bin"])


class Missing(Exception):
    """A program or a client is not here and could not be installed; the text says which."""


def mosquitto() -> Path:
    """Debian's mosquitto."""
    return _found("mosquitto")


def nats_server() -> Path:
    """Debian's nats-server."""
    return _found("nats-server")


def nats_server_that_syncs() -> Path:
    """A nats-server that knows `sync_interval: always` (2.10 and later): Debian's where it does, else PyPI's."""
    for path in (shutil.which("nats-server", path=_SYSTEM), Path(sys.prefix, "bin", "nats-server")):
        if path and Path(path).exists() and _numbers(version(Path(path))) >= (2, 10):
            return Path(path)
    raise Missing("no nats-server of 2.10 or later is here; the extra `bench` of pyproject.toml has one")


@functools.cache
def version(program: Path) -> str:
    """The version that a program says it has."""
    words = ["-v"] if program.name == "nats-server" else ["-h"]
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    found = re.search(r"\d+\.\d+\.\d+", done.stdout + done.stderr)
    return found.group() if found else "unknown"


def present() -> bool:
    """Whether everything is here."""
    try:
        mosquitto(), nats_server(), nats_server_that_syncs()
    except Missing:
        return False
    return all(importlib.util.find_spec(name) for name in CLIENTS)


def install() -> None:
    """Install what is missing, saying so first. Raises Missing where that does not work."""
    if not all(shutil.which(name, path=_SYSTEM) for name in ("mosquitto", "nats-server")):
        subprocess.run([ROOT / "tools" / "brokers.sh"], stdin=subprocess.DEVNULL, check=False)
    if not present():
        wanted = _clients()
        print(f"Installing Python packages: {' '.join(wanted)}", file=sys.stderr, flush=True)
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, *wanted], stdin=subprocess.DEVNULL, stdout=sys.stderr, check=False)
        importlib.invalidate_caches()
    mosquitto(), nats_server(), nats_server_that_syncs()
    absent = [name for name in CLIENTS if not importlib.util.find_spec(name)]
    if absent:
        raise Missing(f"no Python package {' or '.join(absent)} here; the extra `{EXTRA}` has it")


def _clients() -> list[str]:
    marked = f'extra == "{EXTRA}"'
    lines = [line.replace("'", '"') for line in requires("kos-edge") or []]
    return [line.partition(";")[0].strip() for line in lines if marked in line]


def _found(name: str) -> Path:
    path = shutil.which(name, path=_SYSTEM)
    if path is None:
        raise Missing(f"no {name} here; Debian's package {name} has it")
    return Path(path)


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in re.findall(r"\d+", text))
