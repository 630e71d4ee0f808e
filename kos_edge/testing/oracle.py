"""What must hold at every moment of a simulated run, whatever goes wrong: the promises of kos-edge, one check each.

It looks at each store after each commit and at each start, and at what sessions and windows hold every now and then.
"""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field

from kos_edge.delivery.lanes import BUFFERED
from kos_edge.klp.pack import Message, Position, Stream
from kos_edge.klp.pack import Reason as Removal
from kos_edge.klp.tombstone import Tombstone
from kos_edge.mesh.membership import Membership
from kos_edge.store.packs import Entry
from kos_edge.testing.machine import Machine
from kos_edge.testing.trace import Trace

SESSIONS_PER_PEER = 6
"""Two for each carrier (protocol.md 2), and those that end while a new one is made."""

LARGEST_LOAD = 128 * 1024
"""Bytes by which a lane may exceed its buffer: a pack is taken whole."""

PAGE = 64

Place = tuple[Stream, int]


class Broken(AssertionError):
    """A promise was not kept."""


@dataclass(slots=True)
class _Disk:
    """What is on one machine's disk for certain."""

    seen: int = 0
    own: dict[Stream, int] = field(default_factory=dict)
    settled: dict[Stream, int] = field(default_factory=dict)
    came: dict[Stream, set[int]] = field(default_factory=lambda: defaultdict(set))
    epochs: dict[tuple[bytes, str, int], int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Accepted:
    """A message of which its publisher was told that it is safe."""

    source: str
    born: float
    ttl_s: int | None


class Oracle:
    """Watches machines. `broken` is told of the first promise that was not kept."""

    def __init__(self, trace: Trace, broken: Callable[[str], None]) -> None:
        self.trace = trace
        self.accepted: dict[str, _Accepted] = {}
        self.revoked: set[str] = set()
        self._broken = broken
        self._disks: dict[str, _Disk] = {}
        self._machines: dict[str, Machine] = {}
        self._kids: dict[bytes, str] = {}
        self._made: dict[Place, bytes] = {}
        self._expired: dict[Place, float] = {}
        self._dropped: set[Place] = set()
        self._dead: set[str] = set()
        self._handled: dict[str, dict[str, None]] = defaultdict(dict)
        self._handled_now: dict[str, dict[Stream, tuple[int, int]]] = defaultdict(dict)

    # -- what it is told

    def started(self, machine: Machine) -> None:
        """A node has started: what its disk holds is read again, and nothing that was promised may be missing."""
        self._machines[machine.name] = machine
        self._kids[machine.kid] = machine.name
        disk = self._disks[machine.name] = _Disk()
        self._handled_now[machine.name].clear()
        machine.disk.committed = lambda: self.look(machine)
        self.trace.note(f"start {machine.name} epoch {machine.node.writer.store.outbox.epoch:x}")
        self.look(machine)
        for id, accepted in self.accepted.items():
            position = Position.parse(id)
            if accepted.source == machine.name and disk.own.get(position.stream, 0) < position.seq:
                self._fail(f"{machine.name} was told that {id} is safe, and does not have it after its start")
        for source in self._disks.values():
            for stream, settled in source.settled.items():
                self._check_let_go(stream, 0, settled)

    def accept(self, machine: Machine, id: str, ttl_s: int | None) -> None:
        """A publisher was told that its message is safe."""
        if id in self.accepted:
            self._fail(f"{id} was given to two messages")
        self.accepted[id] = _Accepted(machine.name, asyncio.get_running_loop().time(), ttl_s)
        self.trace.note(f"accept {machine.name} {id}")
        position = Position.parse(id)
        if self._disks[machine.name].own.get(position.stream, 0) < position.seq:
            self._fail(f"{machine.name} says that {id} is safe, and it is on no disk")

    def handled(self, machine: Machine, id: str) -> None:
        """A subscriber was given a message. While the power fails too: its cursor may be on the disk afterwards."""
        position = Position.parse(id)
        self._handled[machine.name][id] = None
        if not machine.running:
            return
        at = (position.stream.epoch, position.seq)
        before = self._handled_now[machine.name].get(position.stream, (0, 0))
        if at <= before and not position.stream.cls.fresh:
            self._fail(f"{machine.name} handed {id} over after {before[1]}")
        self._handled_now[machine.name][position.stream] = at

    # -- looking

    def look(self, machine: Machine) -> None:
        """Something was committed: read what is new, and judge it.

        What a node commits while it closes is looked at when it starts again.
        """
        if not machine.running or machine.node.writer.closed:
            return
        disk, store = self._disks[machine.name], machine.node.writer.store
        while page := store.packs.read(disk.seen, PAGE):
            for entry in page:
                self._read(machine, disk, entry)
            disk.seen = page[-1].id
        for row in store.streams:
            before = disk.settled.get(row.stream, 0)
            if row.stream.source == machine.kid and row.settled > before:
                disk.settled[row.stream] = row.settled
                self.trace.note(f"settle {machine.name} {_name(row.stream)} {row.settled}")
                if not machine.node.trust.is_all(row.stream.audience):
                    self._check_let_go(row.stream, before, row.settled)

    def _read(self, machine: Machine, disk: _Disk, entry: Entry) -> None:
        pack, stream = entry.pack, entry.pack.stream
        self.trace.note(f"commit {machine.name} {_name(stream)} {entry.first}-{entry.last}")
        if stream.source == machine.kid:
            own = disk.own.get(stream, 0)
            grown = (
                isinstance(pack, Tombstone) and entry.first <= own
            )  # it took the place of what was seen before
            if entry.first != own + 1 and not grown:
                self._fail(f"{machine.name} numbered {_name(stream)} {entry.first} after {own}")
            disk.own[stream] = max(own, entry.last)
        else:
            self._came(machine, disk, entry)
        if isinstance(pack, Tombstone):
            now = asyncio.get_running_loop().time()
            for seq in range(entry.first, entry.last + 1):
                if pack.reason is Removal.EXPIRED:
                    self._expired.setdefault((stream, seq), now)
                else:
                    self._dropped.add((stream, seq))
            return
        for (seq, item), slot in zip(pack.messages(), pack.slots, strict=True):
            if isinstance(item, Message) and isinstance(slot, bytes):
                self._content(machine, stream, seq, slot)
            elif getattr(item, "reason", None) == Removal.EXPIRED:
                self._expired.setdefault((stream, seq), asyncio.get_running_loop().time())

    def _came(self, machine: Machine, disk: _Disk, entry: Entry) -> None:
        stream, came = entry.pack.stream, disk.came[entry.pack.stream]
        numbers = range(entry.first, entry.last + 1)
        if not came.isdisjoint(numbers):
            self._fail(f"{machine.name} has {_name(stream)} {entry.first}-{entry.last} twice")
        lane = (stream.source, stream.audience, stream.cls.code)
        if not stream.cls.fresh:
            if entry.first != len(came) + 1:
                self._fail(f"{machine.name} has {_name(stream)} {entry.first} after {len(came)}")
            if stream.epoch < disk.epochs.get(lane, 0):
                self._fail(f"{machine.name} has {_name(stream)} after a later start")
        disk.epochs[lane] = max(stream.epoch, disk.epochs.get(lane, 0))
        came.update(numbers)

    def _content(self, machine: Machine, stream: Stream, seq: int, slot: bytes) -> None:
        made = self._made.get((stream, seq))
        if made is None and stream.source == machine.kid:
            self._made[stream, seq] = slot
        elif made is None:
            self._fail(f"{machine.name} has {_name(stream)} {seq}, which is on no disk of its source")
        elif made != slot:
            self._fail(f"{machine.name} has another {_name(stream)} {seq} than its source made first")

    def _check_let_go(self, stream: Stream, after: int, settled: int) -> None:
        for seq in range(after + 1, settled + 1):
            if not any(seq in disk.came.get(stream, ()) for disk in self._disks.values()):
                id = str(Position(stream, seq))
                if id not in self._dead_letters():
                    self._fail(f"{self._kids[stream.source]} let go of {id}, which nobody has")

    def _dead_letters(self) -> set[str]:
        for machine in self._machines.values():
            if machine.running:
                self._dead.update(letter.id for letter in machine.node.writer.store.records.dead())
        return self._dead

    def tick(self) -> None:
        """Sessions, queues and windows, every now and then."""
        for machine in self._machines.values():
            if not machine.running:
                continue
            node = machine.node
            sessions = node.endpoint.sessions
            if len(sessions) > SESSIONS_PER_PEER * max(1, len(self._machines) - 1):
                self._fail(f"{machine.name} has {len(sessions)} sessions")
            for session in sessions:
                peer = session.peer
                if isinstance(peer, Membership) and session.closed is None and node.trust.revoked(peer):
                    self._fail(f"{machine.name} keeps a session with {peer.name}, which is revoked")
            for link in node.peers.links.values():
                courier = link.courier
                if courier.most_buffered > BUFFERED + LARGEST_LOAD:
                    self._fail(f"{machine.name} keeps {courier.most_buffered} bytes of one lane in memory")
                if courier.in_flight > courier.window.most:
                    self._fail(f"{machine.name} has {courier.in_flight} shipments under way")
            if node.inbound.counters["fork"]:
                self._fail(f"{machine.name} saw a fork")

    def account(self) -> None:
        """At the end: every accepted message is somewhere, and the subscriber had all that came."""
        dead = self._dead_letters()
        for id, accepted in self.accepted.items():
            position = Position.parse(id)
            place = (position.stream, position.seq)
            source = self._disks[accepted.source]
            if place in self._dropped:
                continue
            if place in self._expired:
                if accepted.ttl_s is None:
                    self._fail(f"{id} has no ttl and has expired")
                continue
            came = any(position.seq in disk.came.get(position.stream, ()) for disk in self._disks.values())
            kept = accepted.source in self.revoked and source.settled.get(position.stream, 0) < position.seq
            if not came and id not in dead and not kept:
                self._fail(f"{id} of {accepted.source} is lost")

    @property
    def unhandled(self) -> list[str]:
        """What came without a ttl and no subscriber was given yet."""
        missing = []
        for id, accepted in self.accepted.items():
            position = Position.parse(id)
            for name, disk in self._disks.items():
                if (
                    position.seq in disk.came.get(position.stream, ())
                    and accepted.ttl_s is None
                    and id not in self._dead
                    and (position.stream, position.seq) not in self._dropped
                    and id not in self._handled[name]
                ):
                    missing.append(id)
        return missing

    def _fail(self, text: str) -> None:
        self._broken(text)


class Listener(logging.Handler):
    """Hears what kos-edge logs: an exception with its traceback, or an error that nobody expects, breaks the run."""

    def __init__(self, broken: Callable[[str], None]) -> None:
        super().__init__(logging.WARNING)
        self._tell = broken

    def emit(self, record: logging.LogRecord) -> None:
        if record.exc_info or record.levelno >= logging.ERROR:
            why = f": {record.exc_info[1]!r}" if record.exc_info and record.exc_info[1] else ""
            self._tell(f"{record.name} logged {record.getMessage()}{why}")


def _name(stream: Stream) -> str:
    return f"{stream.source.hex()[:8]}/{stream.audience}/{stream.cls.code}/{stream.epoch:x}"
