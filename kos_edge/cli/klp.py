"""klp seal, inspect and verify: messages by hand, with no node at all."""

from __future__ import annotations

import json
import secrets
import time
from pathlib import Path
from typing import Any, BinaryIO

import click

from kos_edge.cli.face import Face, common, pass_face
from kos_edge.cli.parameters import hexadecimal
from kos_edge.control.wire import decode
from kos_edge.errors import Invalid
from kos_edge.klp import check, people
from kos_edge.klp.identity import KeyPair
from kos_edge.node.keyfile import read_key, write_key

FILE_LIMIT = 16 << 20
"""Bytes of a file with packs or vectors."""

_INVALID = 65
_SAMPLE = '{"topic": "a.b", "type": "data", "body": {"content": 1}}'
_UNCERTAINTY_MS = 1000
"""What is said of this machine's clock, of which nothing is known here but that it is kept by NTP mostly."""


@click.group()
@common
def klp() -> None:
    """Seal, inspect and verify messages by hand. A FILE of - is standard input."""


@klp.command()
@click.argument("file", type=click.File("rb"), default="-")
@click.option(
    "--key",
    "key_file",
    type=click.Path(path_type=Path),
    required=True,
    metavar="FILE",
    help="The key to sign with; made where there is none. Not that of a node: it numbers its own messages.",
)
@click.option("--mesh", type=hexadecimal(32), required=True, metavar="HEX", help="The mesh to sign it for.")
@click.option("--epoch", type=hexadecimal(8), metavar="HEX", help="The epoch; a new one by default.")
@click.option("--first", type=click.IntRange(min=1), default=1, help="The first sequence number (1).")
@click.option("--prev", type=hexadecimal(16), metavar="HEX", help="The chain hash of the pack before it.")
@click.option("--out", type=click.File("wb"), metavar="FILE", help="Write the bytes there, not hex here.")
@common
@pass_face
def seal(
    face: Face,
    file: BinaryIO,
    key_file: Path,
    mesh: bytes,
    epoch: bytes | None,
    first: int,
    prev: bytes | None,
    out: BinaryIO | None,
) -> None:
    """Sign messages as one pack: JSON objects with topic, type and body, a line each or in a list."""
    drafts = [people.draft_from_json(value) for value in _values(_read(file))]
    if not drafts:
        raise Invalid("there is no message to seal", hint=f"such as {_SAMPLE}")
    key = _key(key_file)
    now_ms = time.time_ns() // 1_000_000
    data = people.seal_drafts(
        drafts,
        key=key,
        mesh=mesh,
        epoch=int.from_bytes(epoch) if epoch else (now_ms // 1000) << 32 | secrets.randbits(32),
        first=first,
        prev=prev,
        mono_ms=time.monotonic_ns() // 1_000_000,
        wall_ms=now_ms,
        uncertainty_ms=_UNCERTAINTY_MS,
    )
    if out is not None:
        out.write(data)
    report = {"bytes": len(data), "hex": data.hex(), "public": key.public.hex(), "mesh": mesh.hex()}
    face.answer(report, f"{len(data)} bytes" if out is not None else data.hex())


@klp.command()
@click.argument("file", type=click.File("rb"))
@common
@pass_face
def inspect(face: Face, file: BinaryIO) -> None:
    """What is in a pack, a tombstone or a message shown alone, as JSON. Its signature is not checked."""
    found = check.inspect_bytes(check.read_bytes(_read(file)))
    face.answer(found, json.dumps(found, ensure_ascii=False, indent=2))


@klp.command()
@click.argument("file", type=click.File("rb"))
@click.option("--public", type=hexadecimal(32), metavar="HEX", help="For a pack: the source's public key.")
@click.option("--mesh", type=hexadecimal(32), metavar="HEX", help="For a pack: the mesh.")
@common
@pass_face
def verify(face: Face, file: BinaryIO, public: bytes | None, mesh: bytes | None) -> int:
    """Whether a pack or a tombstone is what its source signed; or, for a JSON file of vectors, whether each is so.

    Exits with 65 where it is not.
    """
    content = _read(file)
    if content.lstrip()[:1] in (b"{", b"["):
        vectors = decode(content)
        verdicts = [
            check.check_vector(each) for each in (vectors if isinstance(vectors, list) else [vectors])
        ]
        agree = all(verdict.agrees for verdict in verdicts)
        report = {"agrees": agree, "vectors": [_vector_report(verdict) for verdict in verdicts]}
        face.answer(report, "\n".join(map(_vector_line, verdicts)))
        return 0 if agree else _INVALID
    if public is None or mesh is None:
        raise click.UsageError("a pack is verified with --public HEX and --mesh HEX")
    verdict = check.verify_bytes(check.read_bytes(content), public, mesh)
    report = {"valid": verdict.valid, "why": verdict.why or None, "notes": list(verdict.notes)}
    lines = ["valid" if verdict.valid else f"not valid: {verdict.why}", *verdict.notes]
    face.answer({**report, **(verdict.decoded or {})}, "\n".join(lines))
    return 0 if verdict.valid else _INVALID


def _vector_report(verdict: check.Verdict) -> dict[str, Any]:
    return {
        "name": verdict.name,
        "valid": verdict.valid,
        "why": verdict.why or None,
        "expected": verdict.expected,
        "agrees": verdict.agrees,
    }


def _vector_line(verdict: check.Verdict) -> str:
    found = "valid" if verdict.valid else f"not valid: {verdict.why}"
    return f"{'agrees' if verdict.agrees else 'DIFFERS'}  {verdict.name}: {found}"


def _key(path: Path) -> KeyPair:
    if not path.exists():
        write_key(path, KeyPair.generate())
    return read_key(path)


def _read(file: BinaryIO) -> bytes:
    data = file.read(FILE_LIMIT + 1)
    if len(data) > FILE_LIMIT:
        raise Invalid(f"{file.name} has more than {FILE_LIMIT:,} bytes")
    return data


def _values(content: bytes) -> list[Any]:
    """JSON values: a list of them, or one a line."""
    if content.lstrip()[:1] == b"[":
        found = decode(content)
        return found if isinstance(found, list) else [found]
    return [decode(line) for line in content.splitlines() if line.strip()]
