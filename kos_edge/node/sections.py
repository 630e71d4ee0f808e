"""What can be set, table by table: every key with its type, its default and its explanation."""

from __future__ import annotations

import re
from dataclasses import dataclass

from kos_edge.errors import Invalid
from kos_edge.klp.stream import check_audience
from kos_edge.node.addresses import check_url, parse_http, parse_listen, parse_peer
from kos_edge.node.settings import (
    DURATION,
    FLAG,
    LONGER_DURATION,
    SIZE,
    choice,
    count,
    listing,
    setting,
    text,
)


@dataclass(frozen=True, slots=True)
class NodeSection:
    """``[node]``: what runs here."""

    agents: tuple[str, ...] = setting(
        listing(text("a path")),
        (),
        "Agent files that `kos-edge run` starts beside those it is given; relative to this file.",
    )


@dataclass(frozen=True, slots=True)
class NetworkSection:
    """``[network]``: where this node listens and whom it looks for."""

    listen: tuple[str, ...] = setting(
        listing(text('an address such as "0.0.0.0:5683", "[::]:5683" or ":5683"', parse_listen)),
        (),
        "Addresses for UDP and TCP. Empty: every address, on port 5683 or, where that is taken, on a free\n"
        "one that is kept for the next start. An address given here that is taken is an error.",
    )
    interfaces: tuple[str, ...] = setting(
        listing(text("the name of an interface")),
        (),
        "Look for others on these interfaces only. Empty: on all but those that containers make\n"
        "(docker*, br-*, veth*, cni*, virbr*, lxc*).",
    )
    mdns: bool = setting(FLAG, True, "Find others, and be found, by mDNS (_kos-edge._udp).")
    peers: tuple[str, ...] = setting(
        listing(text('an address such as "10.0.0.5:5683" or "hub.local:5683"', parse_peer)),
        (),
        "Nodes to try besides those found; their keys are checked as those of any other.",
    )
    keepalive_s: float = setting(
        LONGER_DURATION, 30.0, "A silent session is tried after this time, and given up after three of them."
    )


@dataclass(frozen=True, slots=True)
class QueueSection:
    """``[queue]``: what this node owes others and has not yet handed over."""

    max_messages: int = setting(count(), 1_000_000, "At most so many messages wait.")
    max_bytes: int = setting(SIZE, 512_000_000, "At most so many bytes wait.")
    when_full: str = setting(
        choice("reject", "drop-oldest", "drop-lowest-priority"),
        "reject",
        "What happens to a message that does not fit. reject: it is refused. drop-oldest: the oldest packs go, but\n"
        "critical ones for a critical one only. drop-lowest-priority: the oldest packs of the lowest priority go,\n"
        "never one of a higher priority than its own. What goes leaves a signed tombstone, which its receiver gets.",
    )
    max_messages_low: int | None = setting(
        count(),
        None,
        "Of each priority at most so many; of a full one only its own packs go.",
        sample="100000",
    )
    max_bytes_low: int | None = setting(SIZE, None, "The same for their size.", sample='"64MB"')
    max_messages_normal: int | None = setting(count(), None, "Of priority normal.", sample="100000")
    max_bytes_normal: int | None = setting(SIZE, None, "Of priority normal.", sample='"64MB"')
    max_messages_high: int | None = setting(count(), None, "Of priority high.", sample="100000")
    max_bytes_high: int | None = setting(SIZE, None, "Of priority high.", sample='"64MB"')
    max_messages_critical: int | None = setting(count(), None, "Of priority critical.", sample="100000")
    max_bytes_critical: int | None = setting(SIZE, None, "Of priority critical.", sample='"64MB"')
    max_dead: int = setting(
        count(),
        10_000,
        "At most so many dead letters are kept; for a newer one the oldest goes, and is counted.",
    )
    max_dead_bytes: int = setting(SIZE, 64_000_000, "The same for the size of their messages.")
    weight_high: int = setting(
        count(),
        4,
        "How priorities share a link that is full: bytes in proportion to these weights; what one does not use\n"
        "the others get. Critical goes before all of them, and leaves them a tenth.",
    )
    weight_normal: int = setting(count(), 2, "The weight of priority normal.")
    weight_low: int = setting(count(), 1, "The weight of priority low.")
    pack_messages: int = setting(
        count(),
        256,
        "At most so many messages share one signature; 256 is the most there is, and 1 signs each by itself.\n"
        "A pack has 1,000 bytes at most in any case, so that it fits a datagram.",
    )


@dataclass(frozen=True, slots=True)
class JournalSection:
    """``[journal]``: what this node has received or kept; only what is delivered is ever removed."""

    keep_for_s: float = setting(LONGER_DURATION, 604_800.0, "Delivered messages older than this are removed.")
    max_bytes: int = setting(SIZE, 1_000_000_000, "Above this size the oldest delivered ones are removed.")


@dataclass(frozen=True, slots=True)
class AdmissionSection:
    """``[admission]``: how a hub treats newcomers that bring no invitation and are not known."""

    approval: bool = setting(
        FLAG,
        True,
        "Let them wait for a person: `kos-edge pending`, `kos-edge admit`. With false they are refused.",
    )
    open: bool = setting(
        FLAG, False, "Admit everybody. For demonstrations and tests only; the daemon warns at every start."
    )
    operators: bool = setting(
        FLAG,
        True,
        "Let members of the role operator administer this hub from their stations. Only a person at the hub makes\n"
        "such members: `kos-edge invite --role operator`.",
    )


@dataclass(frozen=True, slots=True)
class LogSection:
    """``[log]``: what the daemon writes to standard error."""

    level: str = setting(choice("debug", "info", "warning", "error"), "info", "From which weight on.")
    format: str = setting(
        choice("auto", "text", "json"),
        "auto",
        "text: lines for people. json: one object a line. auto: entries with fields where standard error is systemd's\n"
        "journal, else text.",
    )


@dataclass(frozen=True, slots=True)
class MonitorSection:
    """``[monitor]``: how this node is watched from outside."""

    listen: str | None = setting(
        text('an address such as ":9464", "127.0.0.1:9464" or "[::1]:9464"', parse_http),
        None,
        "Where figures for Prometheus are read, at /metrics, and the health at /healthz, over HTTP without encryption\n"
        "or passwords. Without a host it is this machine alone. By default nowhere.",
        sample='":9464"',
    )
    names: tuple[str, ...] = setting(
        listing(text("a host name")),
        (),
        "Names by which requests may ask for it, beside its addresses and localhost.",
    )
    token_file: str | None = setting(
        text("a path"),
        None,
        "A file with a token on its first line, 16 characters or more: whoever shows it reads at /readings what is\n"
        "kept here, and at /readings/live what comes. Without it neither is there. Relative to the state.",
        sample='"http.token"',
    )
    heartbeat_s: float = setting(
        DURATION,
        60.0,
        "How often this node tells its hubs how it is: `kos-edge peers` there shows it. No card is written for it.\n"
        "0: never.",
    )
    member_figures: int = setting(
        count(0),
        100,
        "At a hub: figures of so many members, the first by name, stand on /metrics; about ten lines each.",
    )
    card_endurance: int | None = setting(
        SIZE,
        None,
        "How much may be written to the card or disk under the state in its life (TBW in its data sheet), for\n"
        "`kos-edge forecast`. By default a card is assumed to bear 100 times its size.",
        sample='"20TB"',
    )


@dataclass(frozen=True, slots=True)
class TraceSection:
    """``[trace]``: the way of messages over nodes, for a collector of OpenTelemetry; needs ``kos-edge[trace]``."""

    endpoint: str | None = setting(
        text('the address of a collector such as "http://collector:4318"', check_url),
        None,
        "Where spans are sent, by OTLP over HTTP. By default nowhere, and messages carry no trace context.",
        sample='"http://collector:4318"',
    )
    one_in: int = setting(
        count(),
        1,
        "Of so many messages that are published here one is traced; of those that come with a context each is.\n"
        "A traced message is about 60 bytes longer.",
    )


@dataclass(frozen=True, slots=True)
class VaultSection:
    """``[vault]``: what opens the secrets of this node (`kos-edge vault`)."""

    key_file: str | None = setting(
        text("a path"),
        None,
        "The file with the vault's key, 32 bytes or more; relative to the state. By default the credential\n"
        "kos-edge.vault-key where systemd gives one, else vault.key in the state directory, made with the vault.",
        sample='"/etc/kos-edge/vault.key"',
    )
    passphrase_file: str | None = setting(
        text("a path"),
        None,
        "A file with the passphrase on its first line, for a vault that opens with one. Without it such a vault is\n"
        "shut until somebody opens it: kos-edge vault open.",
        sample='"/run/keys/vault"',
    )


def _check_anchor(text: str) -> None:
    if not re.fullmatch(r"[0-9a-f]{64}", text):
        raise Invalid("not a public key")


@dataclass(frozen=True, slots=True)
class SecuritySection:
    """``[security]``: whether the program itself is as it was installed."""

    signatures: str = setting(
        choice("strict", "moderate", "disabled"),
        "moderate",
        "The installed files are compared with their signed manifest at every start. moderate: what differs is said\n"
        "loudly, and the node works. strict: it then runs in recovery mode, without agents. disabled: not checked.",
    )
    trust_anchors: tuple[str, ...] = setting(
        listing(text("a public key of 64 hex digits", _check_anchor)),
        (),
        "Whose manifests count, beside this node's own key: the public keys of whoever makes your packages.",
    )


@dataclass(frozen=True, slots=True)
class BootstrapSection:
    """``[bootstrap]``: what happens when the daemon does not come up."""

    safe_mode: str = setting(
        choice("supervised", "always", "never"),
        "supervised",
        "After three failed starts in a row the next is in safe mode, without agents. supervised: where a service\n"
        "manager starts the daemon (and hears READY=1), for at a terminal a person sees what is wrong.",
    )


@dataclass(frozen=True, slots=True)
class SecretSettings:
    """``[secret."mqtt.password"]``: who gets a secret of the vault; nobody whom this does not name."""

    agents: tuple[str, ...] = setting(
        listing(text("the name of an agent")), (), "Agents that may ask for it, by their names."
    )


@dataclass(frozen=True, slots=True)
class TopicSettings:
    """``[topic."air.#"]``: how messages published here on a topic travel."""

    durability: str = setting(
        choice("durable", "volatile"),
        "durable",
        "durable: on disk here before it counts as published, and kept until the receiver has it on disk.\n"
        "volatile: in memory, sent at once, lost with the process or the link.",
    )
    keep: str = setting(
        choice("all", "latest"),
        "all",
        "latest: a newer value takes the place of one that still waits here, on disk too. It gets its number when it\n"
        "is sent, so one that was replaced is not missed by anybody. For durable topics; not for commands.",
    )
    priority: str = setting(
        choice("low", "normal", "high", "critical"), "normal", "Which goes first when the link is slow."
    )
    order: str = setting(
        choice("in-order", "fresh-first"),
        "in-order",
        "in-order: as they were published. fresh-first: after an outage the newest first, ahead of the backlog;\n"
        "what comes after something newer is marked late.",
    )
    audience: str = setting(
        text(
            '"hub", "edge", "relay", "operator", "all", "group:NAME" or "kid:" and 32 hex digits',
            check_audience,
        ),
        "hub",
        "Who gets it: a role, everybody, a group or one node. The first of them to have it on disk settles it.",
    )
    linger_s: float | None = setting(
        DURATION,
        None,
        "How long a message may wait for others to share its write to disk. By default 100ms, and 0 where\n"
        "the priority is critical. Seconds save a memory card.",
        sample='"100ms"',
    )
    ttl_s: float | None = setting(
        LONGER_DURATION, None, "How long a message is worth delivering. By default for ever.", sample='"1h"'
    )
    max_messages: int | None = setting(
        count(),
        None,
        "At most so many messages of one topic wait in the queue; new ones are then refused.",
        sample="100000",
    )
    max_bytes: int | None = setting(
        SIZE, None, "The same for their size. By default only [queue] limits them.", sample='"64MB"'
    )

    @property
    def effective_linger_s(self) -> float:
        """Seconds that a message may wait for its commit."""
        if self.linger_s is not None:
            return self.linger_s
        return 0.0 if self.priority == "critical" else 0.1
