"""Proofs that one key has signed what no single source signs, and what is no proof, as vectors."""

from __future__ import annotations

from kos_edge.klp import cbor
from kos_edge.klp.body import Data
from kos_edge.klp.fork import Statement
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import Boundary, Class, Link, Message, Pack, Stream, peek, seal
from kos_edge.mesh.claims import Role
from kos_edge.mesh.fork import verify_fork
from tests.mesh.world import LAMP, PUMP, T0, hub
from tests.vectors.mesh_judge import MESH, Vector, complaint

IN_ORDER = Class()
FIRST, SECOND, THIRD = (2 << 32) | 7, (3 << 32) | 8, (3 << 32) | 9


def pack(
    value: object, epoch: int, first: int, prev: Link, *, key: KeyPair = PUMP, cls: Class = IN_ORDER
) -> Pack:
    """A pack of one message."""
    stream = Stream(key.kid, "hub", cls, epoch)
    raw = seal(
        stream,
        first,
        [Message("a.b", Data(value))],
        prev=prev,
        mono_ms=0,
        wall_ms=None,
        uncertainty_ms=None,
        key=key,
        mesh=MESH,
    )
    return peek(raw)


ONE = pack(1, FIRST, 1, None)
TWO = pack(2, FIRST, 2, ONE.chain_hash)
END = Boundary(FIRST, 1, ONE.chain_hash)

PROOFS: dict[str, tuple[Pack, Pack]] = {
    "two-at-one-place": (TWO, pack(3, FIRST, 2, ONE.chain_hash)),
    "two-epochs-after-one": (pack(3, SECOND, 1, END), pack(4, THIRD, 1, END)),
    "an-epoch-that-went-on": (pack(3, SECOND, 1, END), TWO),
    "another-end": (pack(3, SECOND, 1, Boundary(FIRST, 2, bytes(16))), TWO),
    "another-predecessor": (ONE, pack(2, FIRST, 2, bytes(16))),
}
NO_PROOFS: dict[str, tuple[Pack, Pack]] = {
    "bad-one-after-the-other": (ONE, TWO),
    "bad-the-same-twice": (TWO, TWO),
    "bad-an-epoch-after-the-other": (ONE, pack(3, SECOND, 1, END)),
    "bad-an-epoch-after-none": (TWO, pack(3, SECOND, 1, None)),
    "bad-other-lanes": (TWO, pack(3, FIRST, 2, ONE.chain_hash, cls=Class(fresh=True))),
}


def proof(member: bytes, one: Pack, other: Pack) -> bytes:
    """What `prove` makes, whether it proves anything or not."""
    return cbor.encode([member, Statement.of(one).to_wire(), Statement.of(other).to_wire()])


def forks() -> list[Vector]:
    """Proofs, and what looks like one."""
    issuer = hub()
    pump = issuer.admit(PUMP.public, "pump", Role.EDGE, at=T0).cwt
    lamp = issuer.admit(LAMP.public, "lamp", Role.EDGE, at=T0).cwt
    good = proof(pump, *PROOFS["two-at-one-place"])
    cases = {name: proof(pump, *pair) for name, pair in (PROOFS | NO_PROOFS).items()}
    cases["bad-of-another"] = proof(lamp, *PROOFS["two-at-one-place"])
    cases["bad-signature"] = good[:-40] + bytes([good[-40] ^ 1]) + good[-39:]
    cases["bad-one-statement"] = cbor.encode(cbor.decode(good)[:2])
    return [_judged(name, data) for name, data in cases.items()]


def _judged(name: str, data: bytes) -> Vector:
    valid = not name.startswith("bad-")
    why = complaint(lambda: verify_fork(data, MESH))
    if (why is None) != valid:
        raise ValueError(f"{name}: {why or 'it is valid'}")
    vector: Vector = {"name": name, "kind": "fork", "valid": valid, "mesh": MESH.hex(), "hex": data.hex()}
    vector |= {"cddl": "fork", "cddl_valid": name != "bad-one-statement"}
    return vector | ({"why": why} if why else {"how": verify_fork(data, MESH).how})
