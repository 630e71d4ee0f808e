"""What a loss of power leaves of files: from a recording of a real process's writes and syncs, any state that could be.

`strace` writes down what the process asked the kernel for. After a power cut everything is there that was synced, and
of the rest any part: each write whole, not at all, torn at a sector, or as NUL where the file had grown meanwhile.
"""

from __future__ import annotations

import os
import random
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SECTOR = 512
_CALLS = "openat,pwrite64,write,fsync,fdatasync,ftruncate,rename,unlink,link"
_LINE = re.compile(r"(\w+)\((.*)\) += (-?\d+)")
_FD = re.compile(r"\d+<([^>]*)>")
_TEXT = re.compile(r'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True, slots=True)
class Op:
    """One thing that the process did to a file in its folder; `data` of a write, `at` its place or a new length."""

    call: str
    name: str
    at: int = 0
    data: bytes = b""
    to: str = ""


def record(folder: Path, module: str, *arguments: str) -> list[Op]:
    """Run a module of ours, and what it did to the files in `folder`, in order."""
    trace = folder.with_name(f"{folder.name}.trace")
    command = ["strace", "-qq", "-y", "-xx", "-s", "100000", "-e", f"trace={_CALLS}", "-e", "signal=none"]
    command += ["-o", str(trace), sys.executable, "-m", module, str(folder), *arguments]
    subprocess.run(command, check=True, cwd=Path(__file__).resolve().parents[2], stdin=subprocess.DEVNULL)
    with trace.open() as lines:
        return list(_ops(lines, os.path.realpath(folder)))


def _ops(lines: Iterator[str] | Sequence[str], folder: str) -> Iterator[Op]:
    for line in lines:
        found = _LINE.match(line)
        if found is None or found[3].startswith("-"):
            continue
        call, inside = found[1], found[2]
        texts = [bytes.fromhex(text.replace("\\x", "")) for text in _TEXT.findall(inside)]
        handle = _FD.match(inside)
        path = _plain(handle[1]) if handle else ""
        if call in ("openat", "rename", "unlink", "link"):
            names = [_inside(text.decode(), folder) for text in texts]
            if call == "openat":
                if "O_CREAT" in inside and names[0]:
                    yield Op("create", names[0], at=int("O_TRUNC" in inside))
            elif names[0]:
                yield Op(call, names[0], to=names[-1] or "")
        elif name := _inside(path, folder):
            if call == "pwrite64":
                yield Op("write", name, int(inside.rpartition(",")[2]), texts[0])
            elif call == "write":
                yield Op("append", name, data=texts[0])
            elif call == "ftruncate":
                yield Op("cut", name, int(inside.rpartition(",")[2]))
            else:
                yield Op("sync", name)


def _plain(path: str) -> str:
    return bytes.fromhex(path.replace("\\x", "")).decode() if path.startswith("\\x") else path


def _inside(path: str, folder: str) -> str | None:
    return path[len(folder) + 1 :] if path.startswith(folder + "/") else None


@dataclass(slots=True)
class _File:
    synced: bytearray = field(default_factory=bytearray)
    pending: list[Op] = field(default_factory=list)


class Disk:
    """The files as the operations make them, one by one."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}

    def do(self, op: Op) -> None:
        """One operation. Names change at once, as a journaled file system orders them; data waits for a sync."""
        match op.call:
            case "create":
                self._files.setdefault(op.name, _File())
            case "rename":
                self._files[op.to] = self._files.pop(op.name)
            case "link":
                self._files[op.to] = self._files[op.name]
            case "unlink":
                self._files.pop(op.name, None)
            case "sync":
                if (file := self._files.get(op.name)) is not None:
                    for each in file.pending:
                        _apply(file.synced, each)
                    file.pending.clear()
            case _:
                self._files.setdefault(op.name, _File()).pending.append(op)

    def after_power_loss(self, lots: random.Random) -> dict[str, bytes]:
        """The files as they could be found."""
        share = lots.choice((0.0, 0.2, 0.5, 0.8, 1.0))
        return {name: bytes(_left(file, share, lots)) for name, file in self._files.items()}


def _left(file: _File, share: float, lots: random.Random) -> bytearray:
    data = bytearray(file.synced)
    for op in file.pending:
        if lots.random() >= share:
            if op.call == "write" and lots.random() < 0.3:  # the file has grown, the data has not come
                _apply(data, Op("write", op.name, max(len(data), op.at), b""))
                data.extend(bytes(max(0, op.at + len(op.data) - len(data))))
            continue
        if op.call == "write" and len(op.data) > SECTOR and lots.random() < 0.3:
            cut = SECTOR * lots.randrange(1, -(-len(op.data) // SECTOR))
            torn = (op.at, op.data[:cut]) if lots.random() < 0.5 else (op.at + cut, op.data[cut:])
            op = Op("write", op.name, *torn)
        _apply(data, op)
    return data


def _apply(data: bytearray, op: Op) -> None:
    match op.call:
        case "append":
            data.extend(op.data)
        case "cut":
            del data[op.at :]
            data.extend(bytes(op.at - len(data)))
        case _:
            if op.at > len(data):
                data.extend(bytes(op.at - len(data)))
            data[op.at : op.at + len(op.data)] = op.data
