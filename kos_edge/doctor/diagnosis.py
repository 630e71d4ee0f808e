"""What a person far away needs to help with a node, without its secrets; each thing that cannot be had is said.

Nothing is changed. Keys, the vault, tokens, invitations, agents' files and messages are not read into it, and what of
known secrets stands elsewhere, in a log say, is taken out (`scrub`).
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import shutil
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kos_edge import __version__
from kos_edge.discovery.interfaces import present
from kos_edge.doctor.examine import examine
from kos_edge.doctor.patient import Patient
from kos_edge.doctor.scrub import Scrubber
from kos_edge.errors import KosError
from kos_edge.klp.identity import KeyPair
from kos_edge.node.addresses import parse_http
from kos_edge.node.config import shown_config
from kos_edge.node.keyfile import find_key
from kos_edge.node.statedir import STORE_NAME, StateDir

LOG_LINES = 2_000
LOG_S = 10.0
"""For journalctl: on a slow card it takes a second for each week."""

METRICS_S = 2.0
_SECRET_BYTES = 4_096


def collect(patient: Patient) -> tuple[dict[str, bytes], KeyPair | None]:
    """The files of a diagnosis, and the key to sign them with where it can be read."""
    missing: dict[str, str] = {}
    key: KeyPair | None = None
    try:
        key = find_key(StateDir(patient.state).key_file).value
    except KosError as error:
        missing["signature"] = error.message
    scrubber = Scrubber(_secrets(patient, key))
    parts: dict[str, Callable[[], Any]] = {
        "about.json": lambda: _about(patient, key),
        "status.json": lambda: _answered(patient, patient.status),
        "peers.json": lambda: _answered(patient, list(patient.peers)),
        "doctor.json": lambda: [asdict(finding) for finding in examine(patient)],
        "config.json": lambda: shown_config(patient.settings),
        "state.json": lambda: list(_listed(patient.state)),
        "store.json": lambda: _store(patient.state / STORE_NAME),
        "machine.json": lambda: _machine(patient),
        "mounts.txt": lambda: patient.text("proc/mounts"),
        "metrics.txt": lambda: _metrics(patient),
        "log.txt": lambda: _log(patient),
    }
    files: dict[str, bytes] = {}
    for name, part in parts.items():
        try:
            value = part()
            if value is None:
                raise OSError("there is none")
        except KosError as error:
            missing[name] = error.message
        except (OSError, ValueError, sqlite3.Error, subprocess.SubprocessError) as error:
            missing[name] = str(error)[:300]
        else:
            if isinstance(value, str):
                files[name] = scrubber.text(value).encode()
            else:
                files[name] = json.dumps(scrubber.value(value), indent=1, default=str).encode()
    files["missing.json"] = json.dumps(scrubber.value(missing), indent=1).encode()
    return files, key


def _secrets(patient: Patient, key: KeyPair | None) -> Iterator[bytes]:
    """What is secret here and can be read: to be looked for in everything else."""
    if key is not None:
        yield key.seed
    settings = patient.settings
    paths = [
        settings.monitor.token_file,
        settings.vault.key_file,
        settings.vault.passphrase_file,
        "vault.key",
    ]
    for text in paths:
        if text is not None:
            with contextlib.suppress(OSError):
                data = (patient.state / text).read_bytes()[:_SECRET_BYTES]
                yield data
                yield data.split(b"\n")[0].strip()


def _about(patient: Patient, key: KeyPair | None) -> dict[str, Any]:
    return {
        "version": __version__,
        "python": sys.version,
        "system": platform.platform(),
        "machine": platform.machine(),
        "kid": None if key is None else key.kid.hex(),
        "public": None if key is None else key.public.hex(),
        "state": str(patient.state),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(patient.wall())),
        "user": os.geteuid() if hasattr(os, "geteuid") else None,
    }


def _answered(patient: Patient, value: Any) -> Any:
    """What the daemon has said, or why it has not."""
    if patient.unreachable is not None and not value:
        raise patient.unreachable
    return value


def _listed(state: Path) -> Iterator[dict[str, Any]]:
    for path in sorted(state.iterdir()):
        found = path.lstat()
        yield {
            "name": path.name,
            "bytes": found.st_size,
            "mode": oct(found.st_mode),
            "owner": found.st_uid,
            "changed": int(found.st_mtime),
        }


def _store(path: Path) -> dict[str, Any]:
    """Schema, sizes and what SQLite thinks of it; nothing that is in it."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=2.0)) as store:
        said: dict[str, Any] = {}
        for name in ("user_version", "page_size", "page_count", "freelist_count", "journal_mode"):
            (said[name],) = store.execute(f"PRAGMA {name}").fetchone()
        said["tables"] = {
            table: store.execute(f'SELECT count(*) FROM "{table}"').fetchone()[0]
            for (table,) in store.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        }
        said["check"] = [line for (line,) in store.execute("PRAGMA quick_check(20)").fetchall()]
        return said


def _machine(patient: Patient) -> dict[str, Any]:
    disk = shutil.disk_usage(patient.state)
    return {
        "disk": {"total": disk.total, "free": disk.free},
        "memory": (patient.text("proc/meminfo") or "").splitlines()[:5],
        "load": (patient.text("proc/loadavg") or "").strip(),
        "uptime": (patient.text("proc/uptime") or "").strip(),
        "model": (patient.text("proc/device-tree/model") or "").strip("\x00"),
        "release": (patient.text("etc/os-release") or "").splitlines()[:3],
        "interfaces": [str(link) for link in present()],
        "addresses": (patient.text("proc/net/if_inet6") or "").splitlines()[:64],
        "links": (patient.text("proc/net/dev") or "").splitlines()[:64],
    }


def _metrics(patient: Patient) -> str:
    listen = patient.settings.monitor.listen
    if listen is None:
        raise ValueError("[monitor] listen is not set")
    host, port = parse_http(listen)
    place = f"[{host}]" if ":" in host else host
    direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # whatever proxy the shell names
    with direct.open(f"http://{place}:{port}/metrics", timeout=METRICS_S) as answer:
        text: str = answer.read(1 << 20).decode(errors="replace")
        return text


def _log(patient: Patient) -> str:
    """The daemon's last lines in the journal of systemd."""
    done = subprocess.run(
        ["journalctl", "--no-pager", "-o", "short-iso", "-n", str(LOG_LINES), "-u", "kos-edge*"],
        capture_output=True,
        timeout=LOG_S,
        check=False,
    )
    if done.returncode:
        raise ValueError(done.stderr.decode(errors="replace").strip()[:200] or "journalctl failed")
    return done.stdout[-(1 << 20) :].decode(errors="replace")
