"""The table of `make bench`: every figure that we promise, and what it is measured beside."""

from __future__ import annotations

from benchmarks.row import Beside, Row

_JETSTREAM = Beside(
    "nats-py to JetStream, file storage, 256 pending; it does not sync", "brokers.measures:jetstream_readings"
)
_JETSTREAM_ASYNC = Beside(
    "the same by publish_async, the quickest way of nats-py", "brokers.measures:jetstream_async_readings"
)
_MOSQUITTO = Beside(
    "paho-mqtt QoS 1, 20 in flight, to mosquitto; it does not sync", "brokers.measures:mosquitto_readings"
)
_ONE_BY_ONE = Beside("paho-mqtt QoS 1, one in flight, to mosquitto", "brokers.measures:mosquitto_one_by_one")
_CEILING = Beside("the slower side's own encode, hash, sign or verify, and commit", "primitives:ceiling")

_PACKS = "readings a second, device to hub over TCP, signed, encrypted, synced on both ends"

ROWS: tuple[Row, ...] = (
    Row("packs", f"{_PACKS}, in packs", "readings/s", "delivery:tcp_packs", 10, _JETSTREAM, ratio=True),
    Row(
        "packs-async",
        f"{_PACKS}, in packs",
        "readings/s",
        "delivery:tcp_packs",
        1,
        _JETSTREAM_ASYNC,
        ratio=True,
    ),
    Row("packs-mqtt", f"{_PACKS}, in packs", "readings/s", "delivery:tcp_packs", 6, _MOSQUITTO, ratio=True),
    Row("single", f"{_PACKS}, one a pack", "readings/s", "delivery:tcp_single", 1, _JETSTREAM, ratio=True),
    Row(
        "ceiling",
        "share of what the primitives alone would do",
        "readings/s",
        "delivery:tcp_packs",
        0.6,
        _CEILING,
        ratio=True,
    ),
    Row(
        "udp",
        "readings a second over UDP for 5 minutes",
        "readings/s",
        "delivery:udp_sustained",
        1,
        _ONE_BY_ONE,
        ratio=True,
        once=True,
    ),
    Row(
        "udp-memory",
        "what the hub's memory grows by meanwhile",
        "MB",
        "delivery:udp_sustained",
        3,
        at_most=True,
        once=True,
        note="hub_grew_mb",
    ),
    Row(
        "udp-loss",
        "readings a second over UDP at 10 % loss and 20 ms each way",
        "readings/s",
        "delivery:udp_lossy",
        0.6,
        Beside("the same at no loss", "delivery:udp_lossless"),
        ratio=True,
    ),
    Row(
        "critical",
        "one critical reading, publish to receipt, durable on both ends, p50",
        "ms",
        "delivery:critical",
        10,
        Beside(
            "mosquitto with autosave_on_changes, its only durable setting", "brokers.measures:mosquitto_saved"
        ),
        at_most=True,
    ),
    Row(
        "ordinary",
        "one reading of an ordinary topic, publish to receipt, p50",
        "ms",
        "delivery:ordinary",
        150,
        at_most=True,
    ),
    Row(
        "wire",
        "bytes on the wire for each of 200 readings a second, both ways, all headers",
        "bytes",
        "delivery:wire_bytes",
        60,
        Beside("paho-mqtt QoS 1", "brokers.measures:mosquitto_bytes"),
        at_most=True,
    ),
    Row(
        "written",
        "bytes in write calls for each of 200 readings a second, on the side that writes more",
        "bytes",
        "delivery:written_bytes",
        500,
        Beside("one commit a message", "primitives:one_commit_each"),
        at_most=True,
    ),
    Row(
        "handshakes",
        "handshakes a second at the hub",
        "/s",
        "delivery:handshakes",
        250,
        Beside("the signatures and key agreement of EDHOC alone", "primitives:edhoc"),
    ),
    Row(
        "appends",
        "readings a second made durable by one writer, in packs",
        "readings/s",
        "primitives:appends",
        20_000,
        Beside("SQLite in groups of 100 on this disk", "brokers.measures:sqlite_groups"),
    ),
    Row(
        "queue",
        "what a message costs with 1,000,000 queued beside 1,000, append to settled",
        "times",
        "sizes:queue",
        1.5,
        at_most=True,
        once=True,
    ),
    Row(
        "queue-memory",
        "memory that each queued message keeps",
        "bytes",
        "sizes:queue",
        20,
        at_most=True,
        once=True,
        note="bytes_a_message",
    ),
    Row(
        "members-handshake",
        "a hub's processor time for a handshake with 1,000 members beside 10",
        "times",
        "sizes:members",
        1.25,
        at_most=True,
        once=True,
    ),
    Row(
        "members-pack",
        "the same for a delivered pack",
        "times",
        "sizes:members",
        1.25,
        at_most=True,
        once=True,
        note="pack_times",
    ),
    Row(
        "members-start",
        "processor time that each of 1,000 members adds to the start of a hub",
        "ms",
        "sizes:members",
        1,
        at_most=True,
        once=True,
        note="start_each",
    ),
    Row(
        "members-memory",
        "memory that a hub keeps for each of 1,000 members",
        "kB",
        "sizes:members",
        10,
        at_most=True,
        once=True,
        note="memory_each",
    ),
    Row(
        "idle",
        "memory of a device's daemon after ten minutes at rest",
        "MB",
        "idle:rest",
        50,
        at_most=True,
        once=True,
    ),
    Row(
        "idle-cpu",
        "its share of one processor meanwhile",
        "%",
        "idle:rest",
        0.5,
        at_most=True,
        once=True,
        note="cpu_percent",
    ),
    Row(
        "idle-start",
        "from the start of its process until it is ready",
        "s",
        "idle:start",
        2,
        at_most=True,
    ),
    Row(
        "idle-import",
        "what it imports for that",
        "ms",
        "idle:start",
        250,
        at_most=True,
        note="import_ms",
    ),
    Row(
        "idle-written",
        "bytes written to its disk for each message, one a second",
        "bytes",
        "idle:written",
        8_192,
        at_most=True,
        once=True,
    ),
    Row(
        "idle-linger",
        'the same with `linger = "10s"`',
        "bytes",
        "idle:written_lingering",
        2_048,
        at_most=True,
        once=True,
    ),
)
