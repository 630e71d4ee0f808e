"""Forged mDNS answers: `python -m tests.discovery.forge ADDRESS COUNT` sends that many made-up nodes."""

from __future__ import annotations

import ipaddress
import socket
import struct
import sys
import threading
from collections.abc import Iterator

from kos_edge.discovery.sighting import SERVICE

GROUP = ("224.0.0.251", 5353)
A_PACKET = 20
"""Nodes in one packet."""
A_BURST = 10
"""Packets that fit a receiver's buffer: what the kernel dropped would spare the receiver."""
PAUSE = 0.005


def name(text: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in text.rstrip(".").split(".")) + b"\0"


def record(owner: str, kind: int, data: bytes, ttl: int = 4500) -> bytes:
    return name(owner) + struct.pack("!HHIH", kind, 1, ttl, len(data)) + data


def node(number: int) -> list[bytes]:
    """All four records of a node, so that it is believed at once."""
    instance, host = f"{number:032x}.{SERVICE}", f"{number:x}.local."
    return [
        record(SERVICE, 12, name(instance)),
        record(instance, 33, struct.pack("!HHH", 0, 0, 5683) + name(host)),
        record(instance, 16, b"\x03v=1"),
        record(host, 1, ipaddress.ip_address(f"198.18.{number >> 8 & 255}.{number & 255}").packed),
    ]


def packets(count: int) -> Iterator[bytes]:
    for first in range(0, count, A_PACKET):
        records = [item for number in range(first, min(count, first + A_PACKET)) for item in node(number)]
        yield struct.pack("!6H", 0, 0x8400, 0, len(records), 0, 0) + b"".join(records)


def main(address: str, count: str) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
        for number, packet in enumerate(packets(int(count))):
            sender.sendto(packet, GROUP)
            if number % A_BURST == 0:
                threading.Event().wait(PAUSE)


if __name__ == "__main__":
    main(*sys.argv[1:])
