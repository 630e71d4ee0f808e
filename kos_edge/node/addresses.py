"""Addresses as people write them: ``10.0.0.5:5683``, ``[::1]:5683``, ``hub.local``, ``:5683``."""

from __future__ import annotations

import ipaddress
import re
from urllib.parse import urlsplit

from kos_edge.errors import Invalid

DEFAULT_PORT = 5683
"""CoAP's registered port (RFC 7252 section 12.8)."""

_WRITTEN = re.compile(r"(?:\[(?P<six>[^\[\]]*)\]|(?P<host>[^\[\]:]*))(?::(?P<port>\d{1,5}))?", re.ASCII)
_NAME = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?:\.[A-Za-z0-9_-]{1,63})*\.?", re.ASCII)


def parse_listen(text: str) -> tuple[str, int]:
    """Host and port to listen at; host ``""`` is every address, port 0 any free one. Raises Invalid."""
    host, port = _parse(text)
    if host and not _is_number(host):
        raise Invalid(f"{text[:80]!r} is no address to listen at", hint='such as "0.0.0.0:5683" or ":5683"')
    return host, port


def parse_http(text: str) -> tuple[str, int]:
    """Host and port of a server for this machine's own watchers; no host is the loopback address. Raises Invalid."""
    host, port = parse_listen(text)
    if text.rpartition(":")[2] != str(port):
        raise Invalid(f"{text[:80]!r} names no port", hint='such as ":9464"')
    return host or "127.0.0.1", port


def parse_peer(text: str) -> tuple[str, int]:
    """Host (a name or a number) and port of another node. Raises Invalid."""
    host, port = _parse(text)
    if not host or port == 0:
        raise Invalid(f"{text[:80]!r} is no address of a peer", hint='such as "10.0.0.5:5683" or "hub.local"')
    return host, port


def _parse(text: str) -> tuple[str, int]:
    found = _WRITTEN.fullmatch(text)
    if found is None and _is_number(text):
        return text, DEFAULT_PORT  # an IPv6 address alone needs no brackets
    if found is not None:
        host = found["six"] if found["six"] is not None else found["host"]
        port = DEFAULT_PORT if found["port"] is None else int(found["port"])
        fits = _is_number(host) if found["six"] is not None else not host or _NAME.fullmatch(host)
        if fits and port <= 0xFFFF and text:
            return host, port
    raise Invalid(f"{text[:80]!r} is no address", hint="ADDRESS:PORT; an IPv6 address stands in brackets")


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def check_url(text: str) -> None:
    """Invalid unless it is an address of HTTP with a host and no path of its own."""
    try:
        url = urlsplit(text)
        fine = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        fine = False
    if not fine:
        raise Invalid(f"{text[:60]!r} is no address of HTTP", hint="such as http://collector:4318")
