"""R19: flipped bits, confused algorithms and types, small-order points: rejected, and nothing else has changed.

On whole nodes: what is kept on either side is compared before and after. That every bit of messages 1 to 4 and of
a protected message is caught on the machines is shown in tests/bootstrap and tests/transport.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from kos_edge.bootstrap import credential as credentials
from kos_edge.bootstrap.carriage import MESSAGE_1_PREFIX
from kos_edge.bootstrap.credential import Credential
from kos_edge.bootstrap.edhoc import Initiator
from kos_edge.bootstrap.wire import write_identifier
from kos_edge.delivery.wire import Parcel, encode_ship
from kos_edge.errors import KosError
from kos_edge.klp import cbor, cose, identity
from kos_edge.klp.cose import Typ
from kos_edge.klp.identity import KeyPair
from kos_edge.mesh.claims import Role
from kos_edge.mesh.issuer import Issuer
from kos_edge.mesh.membership import Membership, issuer_seal
from kos_edge.mesh.policy import sign_policy
from kos_edge.mesh.revocation import Revocations, sign_revocation
from kos_edge.mesh.roster import Roster
from kos_edge.node.inbound import KLP_PATH, TRUST_PATH
from kos_edge.node.sections import AdmissionSection
from kos_edge.node.statedir import STORE_NAME
from kos_edge.testing.loop import EPOCH, run_virtual
from kos_edge.transport.address import Address
from kos_edge.transport.coap import CHANGED, NON, POST, Message, Request
from kos_edge.transport.memory import PORT, Network
from kos_edge.transport.session import Session
from kos_edge.transport.surface import EDHOC_PATH
from kos_edge.transport.wire import decode_datagram, encode_datagram
from tests.bootstrap.test_edhoc import LOW_ORDER
from tests.faults.rows import Sweep, row
from tests.faults.strangers import Stranger, path_options
from tests.node.test_hostile_requests import sealed
from tests.node.world import Machine, World

AFTER = 12.0
"""Seconds until a handshake that failed is forgotten on both sides."""

P = 2**255 - 19

SMALL_ORDER = tuple(
    (y | sign << 255).to_bytes(32, "little") for y in (*identity._SMALL_ORDER, P, P + 1) for sign in (0, 1)
)
"""Ed25519 keys of order 1, 2, 4 and 8, with what is not canonical of them."""

ROGUE, NEWCOMER = KeyPair.from_seed(b"\x99" * 32), KeyPair.from_seed(b"\x98" * 32)


@row("R19", "flipped bits, confused algorithms and types, small-order points", minutes=6)
def sweep(run: Sweep) -> None:
    for name, story in (("handshake", flipped_handshakes), ("objects", objects), ("points", points)):
        folder = run.folder / name
        folder.mkdir()
        run_virtual(story(run, folder))


# Handshakes.


class Meddling(Network):
    """Flips bits of one byte of one datagram between two hosts, counted from when it is armed.

    The sender's repetition comes through.
    """

    def __init__(self) -> None:
        super().__init__()
        self.hosts: set[str] = set()
        self.sizes: list[int] = []
        self._datagram = self._byte = self._mask = -1

    def arm(self, datagram: int, byte: int, mask: int) -> None:
        self.sizes, self._datagram, self._byte, self._mask = [], datagram, byte, mask

    def carry(self, source: Address, target: Address, data: bytes) -> None:
        if {source.host, target.host} != self.hosts:
            super().carry(source, target, data)
            return
        if len(self.sizes) == self._datagram:
            data = data[: self._byte] + bytes([data[self._byte] ^ self._mask]) + data[self._byte + 1 :]
        self.sizes.append(len(data))
        super().carry(source, target, data)


def kept(*machines: Machine) -> list[list[str]]:
    """What their stores hold, as SQL."""
    found = []
    for machine in machines:
        with closing(sqlite3.connect(machine.state / STORE_NAME)) as database:
            found.append(list(database.iterdump()))
    return found


def waiting(machine: Machine) -> int:
    """Handshakes of others that it would still go on with."""
    responders = machine.node.handshakes._responders
    responders.handle_timer(machine.clock.monotonic())
    return responders.waiting


async def flipped_handshakes(run: Sweep, folder: Path) -> None:
    """message_1, message_2, message_3 with the first request, and the answer to that."""
    network = Meddling()
    async with World(folder, network=network) as world:
        hub = await world.hub()
        one, other = await world.member(hub, "one"), await world.member(hub, "other")
        await hub.stop()
        await world.until(lambda: not (one.node.endpoint.sessions or other.node.endpoint.sessions))
        network.hosts = {one.address, other.address}
        if not await shake_hands(one, other):
            run.wrong("the handshake does not succeed without any flip")
        sizes, before, failed = network.sizes[:4], kept(one, other), 0
        every = [
            (n, byte, 1 << bit) for n, size in enumerate(sizes) for byte in range(size) for bit in range(8)
        ]
        share = run.share(full=len(every), bounded=150)
        for datagram, byte, mask in every[run.seed % 7 :: max(1, len(every) // share)]:
            network.arm(datagram, byte, mask)
            failed += not await shake_hands(one, other)
            await asyncio.sleep(AFTER)
            run.case()
            if waiting(one) or waiting(other):
                run.wrong(f"a handshake is left: datagram {datagram} byte {byte} mask {mask}")
        if kept(one, other) != before:
            run.wrong("something is kept of a handshake that was damaged")
        if not failed:
            run.wrong("no flip did anything: the network does not meddle")
        if not await shake_hands(one, other):
            run.wrong("after all the flips a good handshake fails")


async def shake_hands(one: Machine, other: Machine) -> bool:
    """One handshake with a first request, as a link does it; whether it succeeded."""
    try:
        reached = await one.node.handshakes.reach(Address("udp", other.address, PORT), kid=other.kid)
        assert reached.peer.kid == other.kid
        request = Request(POST, TRUST_PATH, one.node.trust.news_request())
        response = await reached.session.request(request, timeout=8.0, handshake=reached.message_3)
        assert response.code == CHANGED
    except KosError:
        return False
    finally:
        for machine in (one, other):
            for session in machine.node.endpoint.sessions:
                assert isinstance(session.peer, Membership)
                assert session.peer.kid in (one.kid, other.kid)
                session.close("tried")
    return True


# Signed objects, handed over by a member.


@dataclass(frozen=True, slots=True)
class Signed:
    """One that would change something if it were good, and how it is handed over."""

    name: str
    raw: bytes
    typ: Typ

    def handed_over(self, raw: bytes) -> Request:
        if self.typ is Typ.PACK:
            return Request(POST, KLP_PATH, encode_ship([Parcel(raw, 0)]))
        key = {Typ.REVOCATION: 2, Typ.MEMBERSHIP: 3, Typ.POLICY: 5}[self.typ]
        return Request(POST, TRUST_PATH, cbor.encode({1: {}, 4: 0, key: raw if key == 5 else [raw]}))


async def objects(run: Sweep, folder: Path) -> None:
    """Packs, memberships, revocations and policies, every bit of them, and whatever they could be taken for."""
    async with World(folder, seed=run.seed) as world:
        hub, other_hub = await world.hub(), await world.hub("other-hub")
        edge = await world.member(hub, "edge")
        good, foreign = made(hub, edge.node.trust.key), made(other_hub, ROGUE)
        session = edge.node.peers.links[hub.kid].session
        await world.settled()
        before = kept(hub)
        for what, raw, carrier in (*flipped(run, good), *confused(good, foreign, hub)):
            await hand_over(run, session, carrier.handed_over(raw), what)
            run.case()
        if kept(hub) != before:
            run.wrong("something of what was damaged or confused is kept")
        for signed in good:
            await hand_over(run, session, signed.handed_over(signed.raw), f"the good {signed.name}")
        if kept(hub) == before:
            run.wrong("the good ones change nothing either: nothing was tried")


async def hand_over(run: Sweep, session: Session, request: Request, what: str) -> None:
    try:
        await session.request(request, confirmable=True)
    except KosError as error:
        run.wrong(f"{what}: no answer, {error}")


def made(hub: Machine, member: KeyPair) -> list[Signed]:
    """One of each, which this hub does not have and would take."""
    trust = hub.node.trust
    seal, now = issuer_seal(trust.key, hub.membership, hub.mesh), round(EPOCH)
    scratch = Issuer(trust.key, hub.membership, hub.mesh, Roster(), Revocations(hub.mesh), random=bytes)
    newcomer = scratch.admit(NEWCOMER.public, "newcomer", Role.EDGE, at=EPOCH)
    return [
        Signed("pack", sealed(member, hub.mesh), Typ.PACK),
        Signed("membership", newcomer.cwt, Typ.MEMBERSHIP),
        Signed(
            "revocation", sign_revocation(seal, ROGUE.kid, number=1, reason="lost", at=now), Typ.REVOCATION
        ),
        Signed("policy", sign_policy(seal, trust.policy.rules, number=9, at=now), Typ.POLICY),
    ]


Tried = tuple[str, bytes, Signed]
"""What it is, for a person; the bytes; and what they are handed over as."""


def flipped(run: Sweep, good: list[Signed]) -> Iterator[Tried]:
    """Every bit of each."""
    for signed in good:
        size = 8 * len(signed.raw)
        for bit in range(run.seed % 5, size, max(1, size // run.share(full=size, bounded=60))):
            raw = bytearray(signed.raw)
            raw[bit >> 3] ^= 1 << (bit & 7)
            yield f"{signed.name} with bit {bit} flipped", bytes(raw), signed


def confused(good: list[Signed], foreign: list[Signed], hub: Machine) -> Iterator[Tried]:
    """Each taken for another, of another mesh, under other algorithms and types, with other kinds of keys."""
    key, mesh = hub.node.trust.key, hub.mesh
    for carrier in good:
        for signed in (*good, *foreign):
            if (signed.raw != carrier.raw and signed.typ is not carrier.typ) or signed in foreign:
                yield f"a {signed.name} as a {carrier.name}", signed.raw, carrier
        if carrier.typ is Typ.PACK:
            continue
        inside = cose.read_sign1(carrier.raw)
        chain = cbor.encode(inside.unprotected)
        for typ in (*Typ, 0, 18, 65_535):
            if typ != carrier.typ:
                raw = cose.sign1(inside.payload, typ, key, external_aad=mesh, unprotected=inside.unprotected)
                yield f"a {carrier.name} signed as type {int(typ)}", raw, carrier
        for aad in (bytes(32), b"", mesh[:31], mesh + mesh):
            raw = cose.sign1(
                inside.payload, carrier.typ, key, external_aad=aad, unprotected=inside.unprotected
            )
            yield f"a {carrier.name} for the mesh {aad.hex()[:8]}", raw, carrier
        for header in headers(carrier.typ):
            protected = cbor.encode(header)
            signature = key.sign(cbor.encode(["Signature1", protected, mesh, inside.payload]))
            raw = cose.assemble(protected, chain, inside.payload, signature)
            yield f"a {carrier.name} under {header}", raw, carrier
        raw = cose.sign1(
            inside.payload, carrier.typ, ROGUE, external_aad=mesh, unprotected=inside.unprotected
        )
        yield f"a {carrier.name} signed by somebody else under the issuer's chain", raw, carrier
    (member,) = (signed for signed in good if signed.typ is Typ.MEMBERSHIP)
    seal = issuer_seal(key, hub.membership, mesh)
    claims = cbor.decode(cose.read_sign1(member.raw).payload)
    for cnf in keys():
        raw = seal.sign(cbor.encode(claims | {8: {1: cnf}}), Typ.MEMBERSHIP)
        yield f"a membership of the key {cnf}", raw, member


def headers(typ: Typ) -> Iterator[dict[object, object]]:
    """Protected headers that are not the one there is."""
    for algorithm in (-7, -35, -36, -47, -19, -9, 5, 0, 8, -8 - 2**32, "EdDSA", None, [-8], True):
        yield {1: algorithm, 16: int(typ)}
    yield {16: int(typ)}
    yield {1: -8}
    yield {1: -8, 16: str(int(typ))}
    yield {1: -8, 16: int(typ), 2: [16]}
    yield {1: -8, 4: b"kid", 16: int(typ)}


def keys() -> Iterator[dict[int, object]]:
    """COSE keys that are no good Ed25519 key."""
    x = NEWCOMER.public
    for kty in (0, 2, 3, 4, "OKP", True):
        yield {1: kty, -1: 6, -2: x}
    for curve in (1, 4, 5, 7, 8, True):
        yield {1: 1, -1: curve, -2: x}
    for algorithm in (-7, -19, 5, None):
        yield {1: 1, 3: algorithm, -1: 6, -2: x}
    for point in SMALL_ORDER:
        yield {1: 1, -1: 6, -2: point}
    for size in (0, 31, 33, 64):
        yield {1: 1, -1: 6, -2: bytes(size)}
    yield {1: 1, -1: 6}


# Points and suites of the handshake.


async def points(run: Sweep, folder: Path) -> None:
    """A handshake with a point or a key of small order, another method or suite: no state and no session."""
    async with World(folder, seed=run.seed) as world:
        hub = await world.hub(admission=AdmissionSection(open=True))
        await world.settled()
        before = kept(hub)
        stranger = await Stranger(world.network, "11.0.0.1").start()
        target = Address("udp", hub.address, PORT)
        for number, payload in enumerate(bad_hellos()):
            options = path_options(EDHOC_PATH)
            stranger.send(target, encode_datagram(Message(POST, b"t", options, payload, NON, number)))
            await asyncio.sleep(1)
            run.case()
            if waiting(hub):
                run.wrong(f"a handshake waits after {payload[:60].hex()}")
            if stranger.answers and decode_datagram(stranger.answers[-1]).code == CHANGED:
                run.wrong(f"message_2 in answer to {payload[:60].hex()}")
            await asyncio.sleep(AFTER)
        for point in SMALL_ORDER:
            run.case()
            shown = await enrol_with(stranger, target, credentials.kccs(point))
            if shown and decode_datagram(shown).code == CHANGED:
                run.wrong(f"message_4 for the key {point.hex()}")
            await asyncio.sleep(AFTER)
        if hub.node.endpoint.sessions or kept(hub) != before:
            run.wrong("a stranger with a bad point or key has changed something")
        shown = await enrol_with(stranger, target, credentials.kccs(ROGUE.public))
        if shown is None or decode_datagram(shown).code != CHANGED:
            run.wrong("a good key is not admitted either: nothing was tried")


def bad_hellos() -> Iterator[bytes]:
    good = bytes.fromhex(LOW_ORDER[0]).replace(b"\0", b"\x09")
    for text in LOW_ORDER:
        for suite in (0, 4):
            yield hello_of(0, suite, bytes.fromhex(text))
    for method in (1, 2, 3, -1, 4, True):
        yield hello_of(method, 4, good)
    for suites in (1, 2, 3, 5, 6, 24, [0], [4, 4], [4, 0, 2], [2, 3], [0, 5], "0", None):
        yield hello_of(0, suites, good)
    for size in (0, 31, 33, 64):
        yield hello_of(0, 4, bytes(size))


def hello_of(method: object, suites: object, point: bytes) -> bytes:
    return MESSAGE_1_PREFIX + cbor.encode_sequence(method, suites, point, 5, 0, bytes(200))


async def enrol_with(stranger: Stranger, target: Address, shown: Credential) -> bytes | None:
    """A newcomer that is right in everything but the key that it shows; the answer to its message_3."""
    initiator = Initiator(ROGUE, shown, c_i=b"\x01", random=bytes)
    options = path_options(EDHOC_PATH)

    async def ask(payload: bytes, number: int) -> bytes | None:
        stranger.answers = []
        stranger.send(target, encode_datagram(Message(POST, b"t", options, payload, NON, number)))
        await asyncio.sleep(1)
        return stranger.answers[0] if stranger.answers else None

    answer = await ask(MESSAGE_1_PREFIX + initiator.message_1(length=255), 1_000)
    if answer is None or decode_datagram(answer).code != CHANGED:
        return None
    c_r = initiator_reads(initiator, decode_datagram(answer).payload)
    return await ask(c_r + initiator.message_3(), 1_001)


def initiator_reads(initiator: Initiator, payload: bytes) -> bytes:
    """Take message_2; C_R as it goes before message_3."""
    (message_2,) = cbor.decode_sequence(payload)
    presented = credentials.read(initiator.read_message_2(cbor.byte_string(message_2)))
    initiator.verify_message_2(presented.cred, presented.public)
    return cbor.encode(write_identifier(initiator.c_r))
