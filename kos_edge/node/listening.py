"""Where a node listens: the configured addresses, or every address at one port that it keeps."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Sequence
from pathlib import Path

from kos_edge.node.addresses import DEFAULT_PORT, parse_listen
from kos_edge.node.durable_file import write_durably
from kos_edge.node.sections import NetworkSection
from kos_edge.system import HAS_ANCILLARY_DATA
from kos_edge.transport.address import Address, Carrier
from kos_edge.transport.tcp import TcpCarrier
from kos_edge.transport.udp import UdpCarrier

PORT_NAME = "port"
ANY = ("0.0.0.0", "::")


def carriers_for(network: NetworkSection, state: Path) -> list[Carrier]:
    """The UDP and TCP carriers of a node."""
    if network.listen:
        binds = [bind for text in network.listen for bind in _expand(*parse_listen(text))]
        binds = [(host, port or _free(0) or 0) for host, port in binds]
    else:
        port = _usable_port(state)
        binds = [(host, port) for host in ANY]
    return [UdpCarrier(binds), TcpCarrier(binds)]


def calling_carriers() -> list[Carrier]:
    """Those of a command that only asks: any port, no connections from others."""
    callers: list[Carrier] = [TcpCarrier(())]
    if HAS_ANCILLARY_DATA:
        callers.insert(0, UdpCarrier([(host, 0) for host in ANY]))
    return callers


def port_of(bound: Sequence[Address], carrier: str) -> int | None:
    """The port at which a carrier listens."""
    return next((address.port for address in bound if address.carrier == carrier), None)


def _expand(host: str, port: int) -> list[tuple[str, int]]:
    return [(host, port)] if host else [(each, port) for each in ANY]


def kept_port(state: Path) -> int | None:
    """The port of the last start, None before the first."""
    with contextlib.suppress(OSError, ValueError):
        port = int((state / PORT_NAME).read_text())
        return port if 1 <= port <= 65_535 else None
    return None


def _usable_port(state: Path) -> int:
    """The port of the last start if it is free, else CoAP's, else any; remembered for the next start."""
    file = state / PORT_NAME
    before = kept_port(state)
    wanted = [DEFAULT_PORT, 0] if before is None else [before, DEFAULT_PORT, 0]
    port = next(found for each in wanted if (found := _free(each)) is not None)
    with contextlib.suppress(OSError):
        write_durably(file, str(port).encode(), mode=0o640)
    return port


def _free(port: int) -> int | None:
    """The port, or any for 0, if UDP and TCP can both have it; None otherwise."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagram,
        socket.socket(socket.AF_INET, socket.SOCK_STREAM) as stream,
    ):
        try:
            stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            stream.bind(("", port))
            datagram.bind(("", stream.getsockname()[1]))
            return int(stream.getsockname()[1])
        except OSError:
            return None if port else 0
