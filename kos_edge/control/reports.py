"""What the verbs of the control protocol answer: JSON objects with fixed keys.

Every time is an RFC 3339 UTC string (``2026-01-31T12:00:00.000Z``) or null where this node does not know it;
every duration is a float of seconds and ends in ``_s``; every size is bytes. A kid is its text form
(``kid:device:<32 hex>``), a public key 64 hex digits.
"""

from __future__ import annotations

from typing import Any, Literal, NotRequired, TypedDict

from kos_edge.control.bootstrap_reports import BootstrapSummary, RegistrationReport

Json = Any
"""A value as JSON has it: None, bool, int, float, str, list or dict with string keys."""


class InitReport(TypedDict):
    """A new node's own data. `passphrase` is there once, and only when it was made up here."""

    state: str
    name: str
    role: str
    kid: str
    public: str
    words: str
    mesh: str | None
    recovery: str | None
    passphrase: str | None


class AgentReport(TypedDict):
    """One agent of a running daemon."""

    name: str
    file: str | None
    state: str
    published: int
    errors: int
    last_error: str | None


class LaneReport(TypedDict):
    """What is owed on one kind of stream of the outbox; `dropped` and `expired`: what only a tombstone is left of."""

    audience: str
    priority: str
    durable: bool
    order: Literal["in-order", "fresh-first"]
    messages: int
    bytes: int
    dropped: int
    expired: int
    oldest_at: str | None


class RateReport(TypedDict):
    """Something a second, give or take `uncertainty`."""

    value: float
    uncertainty: float


class FlowReport(TypedDict):
    """What comes into the queue and leaves it, a second; null where it is not known."""

    messages_in: RateReport | None
    bytes_in: RateReport | None
    messages_out: RateReport | None
    bytes_out: RateReport | None


class LaneFlowReport(FlowReport):
    """The same of one audience and class."""

    audience: str
    priority: str
    durable: bool
    order: Literal["in-order", "fresh-first"]


class SpanReport(TypedDict):
    """When something will be: seconds from now, at the earliest, at the latest (null: perhaps never).

    Where `seconds` is null it will not be as things go, or nobody knows: `why` says which.
    """

    seconds: float | None
    low: float | None
    high: float | None
    why: str


class CardReport(TypedDict):
    """The device under the state. `written_bytes` is by everybody since the machine's start.

    `bytes_a_day` are over the last `measured_s` (a day at most; since the machine's start without a daemon), and
    `own_bytes_a_day` this daemon's part. It bears `endurance_bytes`, which `endurance_from` says, and of these the part
    `used` was used by its own word (eMMC). It is worn out in `left_s`; where that is null, `why` says why. `failing` is
    what it says of its spare blocks.
    """

    device: str
    kind: str
    size_bytes: int
    written_bytes: int
    bytes_a_day: float | None
    own_bytes_a_day: float | None
    measured_s: float
    endurance_bytes: int | None
    endurance_from: str | None
    used: float | None
    failing: str | None
    left_s: float | None
    why: str


class QueueForecast(TypedDict):
    """How the queue will go on. `measured_s` is how long the daemon has watched, 0 without one.

    `full` is when its first limit is reached: that of `limit_of`, in ``messages`` or ``bytes``; `at_limit` is what
    happens then, and to what first. `drain` is when nothing waits any more.
    """

    measured_s: float
    total: FlowReport
    lanes: list[LaneFlowReport]
    full: SpanReport
    limit: Literal["messages", "bytes"]
    limit_of: str
    drain: SpanReport
    at_limit: str


class ForecastReport(QueueForecast):
    """The same, and how long the device under the state will live; null where the state lies on none."""

    card: CardReport | None


class QueueReport(TypedDict):
    """What this node still owes others, and what was refused.

    `percent` is how full its fullest part is, of the whole or of a priority with a limit of its own; `when_full` is
    what happens then: ``reject``, ``drop-oldest`` or ``drop-lowest-priority``. `latest` values wait
    besides, one a topic, that get their numbers when they are sent. `dead` letters are kept; `dead_dropped` had to go
    for newer ones since the store was made.
    """

    messages: int
    bytes: int
    limit_messages: int
    limit_bytes: int
    percent: float
    when_full: str
    latest: int
    oldest_at: str | None
    in_flight: int
    dead: int
    dead_dropped: int
    lanes: list[LaneReport]
    forecast: QueueForecast


class JournalReport(TypedDict):
    """What this node has received or kept; `dropped` and `expired`: what it knows will never come."""

    messages: int
    dropped: int
    expired: int
    bytes: int
    oldest_at: str | None
    limit_bytes: int
    limit_age_s: float


class HealthReport(TypedDict):
    """A member's newest heartbeat, that came `heard_s` ago; parts in use are from 0 to 1, null where it does not say.

    `errors` are those of its agents since its start, `warnings` how many its own status shows, `resident_bytes` the
    memory of its daemon.
    """

    heard_s: float
    at: str | None
    version: str
    uptime_s: int
    cpu: float | None
    memory: float | None
    disk: float | None
    temperature_c: float | None
    queue_messages: int
    queue_bytes: int
    queue: float
    errors: int
    warnings: int
    resident_bytes: int | None


class PeerReport(TypedDict):
    """A node that this one knows, at a hub with what it has registered. `connected` is a live session.

    At a hub `state` is ``ok``, ``late`` (a heartbeat is missing), ``silent`` (three are), ``warning`` or ``unknown``.
    """

    kid: str
    name: str | None
    role: str | None
    standing: Literal["member", "provisional", "revoked", "quarantined", "expired", "seen"]
    connected: bool
    carrier: str | None
    address: str | None
    round_trip_s: float | None
    last_seen_at: str | None
    found_by: str | None
    expires_at: str | None
    state: Literal["ok", "late", "silent", "warning", "unknown"] | None
    reason: str | None
    health: HealthReport | None
    registration: RegistrationReport | None


class TrafficReport(TypedDict):
    """What a node has sent and received since it started; percentiles from publish to final receipt.

    `jumps` counts how often this node found itself behind what its peers hold of it, and went on above that.
    `latency_buckets` counts messages by logarithmic bucket: see `kos_edge.delivery.latency`.
    """

    accepted: int
    refused: int
    commits: int
    settled: int
    dropped: int
    expired: int
    received: int
    duplicates: int
    invalid: int
    handshakes: int
    handshakes_failed: int
    jumps: int
    p50_s: float | None
    p99_s: float | None
    latency_buckets: list[int]


class StatusReport(TypedDict):
    """One node at a glance, `health` by its own disk, files and start. Null is what only a daemon knows."""

    state: str
    version: str
    name: str
    kid: str
    public: str
    words: str
    role: str
    mesh: str | None
    membership: Literal["none", "waiting", "pending", "member", "revoked", "quarantined", "expired"]
    admission: str | None
    running: bool
    pid: int | None
    uptime_s: float | None
    epoch: int | None
    listening: list[str]
    peers_known: int
    peers_connected: int
    queue: QueueReport
    journal: JournalReport
    agents: list[AgentReport]
    traffic: TrafficReport
    bootstrap: BootstrapSummary | None
    health: Literal["good", "degraded"]
    warnings: list[str]


class InvitationReport(TypedDict):
    """A token for newcomers. The token is a secret until it is used up or expired."""

    token: str
    id: str
    uses: int
    expires_at: str | None
    hub: str
    mesh: str
    addresses: list[str]


class JoinReport(TypedDict):
    """How it went. `waiting`: the wish is kept, `run` goes on with it. `pending`: a person must say yes."""

    outcome: Literal["joined", "waiting", "pending"]
    mesh: str
    hub: str | None
    name: str | None
    role: str | None
    words: str
    reason: str | None
    expires_at: str | None


class AuthorityReport(TypedDict):
    """The authority of a mesh: where its recovery file is, and how often its key was changed."""

    recovery: str
    mesh: str
    kid: str
    rotations: int


class RekeyReport(TypedDict):
    """A node's new key, and the kid of the one that it had."""

    name: str
    old: str
    kid: str
    public: str
    words: str


class LeaveReport(TypedDict):
    """The mesh that was left, null when there was none; and the messages that it did not have: dead letters now."""

    mesh: str | None
    set_aside: int


class MemberReport(TypedDict):
    """A member, or a key that will be one when it comes (`allow`)."""

    kid: str
    public: str
    name: str | None
    role: str
    expires_at: str | None


class PendingReport(TypedDict):
    """A newcomer in quarantine; `words` are compared by a person on both screens."""

    kid: str
    public: str
    words: str
    name: str | None
    role: str | None
    address: str
    since: str | None
    expires_at: str | None


class RejectReport(TypedDict):
    """The newcomer that was sent away."""

    kid: str
    name: str | None


class RevokeReport(TypedDict):
    """A revocation, signed and on its way to every member."""

    kid: str
    name: str | None
    number: int
    at: str | None
    reason: str | None


class Failure(TypedDict):
    """An error as the wire and ``--json`` have it; `kind` as in `kos_edge.control.wire`."""

    kind: str
    message: str
    hint: str | None


class PublishReport(TypedDict):
    """One id a value, in order, each durable; with a `failure`, the value after the last id is at fault."""

    ids: list[str]
    failure: Failure | None


class Delivered(TypedDict):
    """One message. `body` is the plain value of a reading or data, for other types their JSON form.

    `name` is the source's name in the mesh, `type` the payload's type (``data``, ``intent``, ...), `unit`
    that of a reading, or one for each field of it. `standing` is there where the source is revoked or in quarantine:
    the message is kept, and was handed to no handler since.
    `late` is there, and true, where something newer of its fresh-first stream came before.

    With the type ``tombstone`` it is a run of numbers that will never come: `id` and `seq` are those of the first,
    `body` has `first`, `last`, `count` and the `reason` (``dropped by policy``, ``expired``, ...), `at` is when it
    became known here, and `topic` is null, for nobody knows any more.
    """

    id: str
    source: str
    name: str | None
    topic: str | None
    seq: int
    at: str | None
    type: str
    body: Json
    unit: NotRequired[str | dict[str, str]]
    standing: NotRequired[str]
    late: NotRequired[bool]


class StopReport(TypedDict):
    """The daemon that is going down."""

    pid: int


class SecretReport(TypedDict):
    """A secret of the vault, without what it is. `agents`: who may ask for it, as the configuration has it."""

    name: str
    bytes: int
    changed_at: str | None
    agents: list[str]


class VaultReport(TypedDict):
    """The vault. `lock` is what opens it; `trouble` what is wrong with the newest generation of its file."""

    lock: Literal["file", "credential", "passphrase"]
    changes: int
    secrets: list[SecretReport]
    trouble: str | None


class SecretValue(TypedDict):
    """A secret itself, in base64 (RFC 4648), for it may be any bytes."""

    name: str
    base64: str


class VaultExport(TypedDict):
    """A vault under a passphrase, the bytes of its file in base64."""

    secrets: int
    base64: str


class VaultImport(TypedDict):
    """What became of each secret of an imported vault, by name."""

    outcome: dict[str, str]


class CarriedPart(TypedDict):
    """Some base64 of a file to carry; messages in what came so far, `of` how many; `left_out`: what waits beside it."""

    base64: str
    messages: int
    of: int
    left_out: int


class CarriedReport(TypedDict):
    """What became of records out of a carried file.

    `messages` and `gone` (numbers that tombstones stand for) are new in the journal; packs were `duplicates`, held
    already; `not_now`, beyond the bounds, to be imported again; `for_others`; of `unknown` or `quarantined` sources; or
    `invalid`. `refused` messages are said to their source. `settled` messages need not be kept in the queue any more.
    `receipts` are records to carry back, in base64; `ended`: the file's end was among the records.
    """

    carrier: str | None
    messages: int
    gone: int
    duplicates: int
    refused: int
    not_now: int
    for_others: int
    unknown: int
    quarantined: int
    invalid: int
    settled: int
    receipts: str
    ended: bool
