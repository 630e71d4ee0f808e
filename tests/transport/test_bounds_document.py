"""docs/protocol/bounds.md says what the code does."""

from __future__ import annotations

from pathlib import Path

import pytest

from kos_edge.bootstrap import order, quarantine, responders
from kos_edge.delivery import position
from kos_edge.discovery import sightings
from kos_edge.klp import cbor
from kos_edge.mesh import revocation, roster
from kos_edge.node import housekeeping, inbound, peers, wanted
from kos_edge.store import journal
from kos_edge.transport import blockwise, exchange, framing, gate, links, oscore, repeats, surface, tcp

TEXT = (Path(__file__).parents[2] / "docs" / "protocol" / "bounds.md").read_text()


@pytest.mark.parametrize(
    "row",
    [
        f"| refusals to one host | {surface.BURST:.0f}, then {surface.RATE:.0f} a second |",
        f"| hosts whose refusals are counted | {surface.MAX_HOSTS:,} |",
        f"| unprotected requests under way | {surface.MAX_STRANGERS} |",
        f"| handshakes that wait for message_3 | {responders.MAX_PENDING} |",
        f"| of these from one host | {responders.MAX_PENDING_PER_HOST} |",
        f"| seconds from message_1 to message_3 | {responders.PENDING_LIFETIME:.0f} |",
        f"| connections without a session | {links.MAX_UNAUTHENTICATED} |",
        f"| of these from one host | {links.MAX_UNAUTHENTICATED_PER_HOST} |",
        f"| seconds for such a connection | {links.AUTHENTICATE_WITHIN:.0f} |",
        f"| messages on such a connection | {framing.MESSAGES_BEFORE} |",
        f"| bytes of one of them | {framing.MAX_BEFORE:,} |",
        f"| confirmable messages remembered | {repeats.MAX_SEEN_OF_STRANGERS:,} "
        f"| apart from the members' {repeats.MAX_SEEN:,} |",
        f"| bytes of answers kept for them | {repeats.MAX_ANSWERS_OF_STRANGERS:,} |",
        f"| nonces for orders that are given out | {order.MAX_NONCES}, a minute each |",
        f"| newcomers that wait for a person | {quarantine.MAX_PENDING}, {quarantine.MAX_PER_ADDRESS} of one host |"[
            :-2
        ],
        f"| names heard by mDNS | {sightings.LIMIT:,}, {sightings.NEW_PER_SECOND:.0f} new a second |",
        f"| of these tried at a time | {wanted.UNMET}, at {peers.UNMET_ADDRESSES} addresses each |",
        f"| its streams that a receiver remembers | {journal.MAX_STREAMS:,} |",
        f"| epochs of a lane once they are over and left the journal | {position.KEPT_EPOCHS} |",
        f"| packs that wait ahead of gaps | {journal.MAX_AHEAD_BYTES >> 20} MiB, {position.AHEAD_LIMIT:,} numbers "
        f"and {position.OPEN_EPOCHS} epochs each |",
        f"| bytes of an upload in blocks | {blockwise.MAX_BODY:,}, one a session, {blockwise.MAX_AGE:.0f} s |",
        f"| {gate.MAX_HANDLERS:,} datagrams, {gate.MAX_ON_STREAM} on a connection |",
        f"| messages read from a connection at a time | {framing.TURN} |",
        f"| {exchange.MAX_APART}, {exchange.MAX_APART_PER_PEER} of one address |",
        f"| bytes that wait on a connection it does not read | {tcp.MAX_QUEUE >> 20} MiB |",
        f"| {inbound.MAX_PENDING}, then whoever has {inbound.FAIR_PENDING}; {inbound.MOST_PENDING:,} of all |",
        f"then {inbound.TRUST_RATE / inbound.TRUST_COST:.0f} a second |",
        f"| outcomes of its commands | {housekeeping.MAX_OUTCOMES:,} of all, 24 hours |",
        f"| CBOR items of one message | {cbor.MAX_ITEMS:,} |",
        f"| {revocation.MAX_PER_ISSUER:,} of an issuer, {revocation.MAX_ISSUERS} issuers; "
        f"{roster.MAX_MEMBERS:,} members |",
    ],
)
def test_a_bound_in_the_document_is_that_of_the_code(row: str) -> None:
    assert row in TEXT


def test_failures_before_new_keys_are_half_of_those_before_the_end() -> None:
    assert oscore.MAX_FAILURES == 2**14
    assert surface.AMPLIFICATION == responders.AMPLIFICATION == 3
