"""Peers that need not be looked for: given by hand, or named by a token."""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from typing import Any

from kos_edge.discovery.sighting import Found, Hint
from kos_edge.errors import Invalid, Unavailable
from kos_edge.mesh.token import Token

_HOST = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,252})")
_PEER = re.compile(r"(?:\[(?P<six>[^\]]+)\]|(?P<host>[^:\[\]]+))(?::(?P<port>[0-9]{1,5}))?")
MOST_ADDRESSES = 16
"""Of one host name."""


def parse_peer(text: str, default_port: int) -> Found:
    """A peer as a person writes it: `10.0.0.5`, `hub.local:5683`, `[fe80::1%eth0]:5683`. Raises Invalid.

    A peer given by hand is tried over UDP and over TCP at the same port.
    """
    match = _PEER.fullmatch(text.strip())
    if match is None:
        raise Invalid(
            f"{text[:80]!r} is no address", hint="write 10.0.0.5:5683, hub.local:5683 or [fe80::1%eth0]:5683"
        )
    host = match["six"] or match["host"]
    port = int(match["port"] or default_port)
    if not 1 <= port <= 65_535:
        raise Invalid(f"{port} is no port", hint="ports go from 1 to 65535")
    if match["six"]:
        _check_ipv6(host)
    elif not _HOST.fullmatch(host):
        raise Invalid(f"{host[:80]!r} is neither an address nor a host name")
    return Found(None, None, None, (Hint(host, port, port),))


def from_token(token: Token) -> Found:
    """The hub that made a token, where it was then."""
    hints = tuple(Hint(hint.host, hint.port, hint.port) for hint in token.hints)
    return Found(token.hub, None, token.mesh[:8], hints)


async def look_up(found: Found) -> Found:
    """The same with IP addresses in place of host names, as many as a name has. Raises Unavailable."""
    loop = asyncio.get_running_loop()
    hints: list[Hint] = []
    for hint in found.addresses:
        if _is_address(hint.host):
            hints.append(hint)
            continue
        try:
            answers = await loop.getaddrinfo(hint.host, None, type=socket.SOCK_DGRAM)
        except (OSError, UnicodeError) as error:  # UnicodeError: a label that is empty or too long
            reason = error.strerror if isinstance(error, OSError) else "it is no host name"
            raise Unavailable(f"no address is known for {hint.host}: {reason}") from error
        hosts = dict.fromkeys(_host(answer[4]) for answer in answers)
        hints += [Hint(host, hint.port, hint.tcp_port) for host in hosts]
    return Found(
        found.kid_claimed,
        found.role,
        found.mesh_prefix,
        tuple(hints[:MOST_ADDRESSES]),
        found.priority,
        found.weight,
    )


def _host(address: tuple[Any, ...]) -> str:
    """The host of a socket address, with its scope where it has one."""
    host = str(address[0])
    scope = address[3] if len(address) == 4 else 0
    return f"{host}%{scope}" if scope and "%" not in host else host


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _check_ipv6(host: str) -> None:
    try:
        address = ipaddress.IPv6Address(host)
    except ValueError:
        raise Invalid(f"{host[:80]!r} is no IPv6 address") from None
    if address.is_link_local and not address.scope_id:
        raise Invalid(
            f"{host} needs the interface it is on", hint=f"write [{host}%eth0] with the interface's name"
        )
