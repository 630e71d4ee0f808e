"""A flood over real sockets: `python -m tests.faults.flood PORT RATE` knocks at 127.0.0.1 until it is ended.

Sound first messages of a handshake from some forty addresses of the loopback network; nothing is ever read.
"""

from __future__ import annotations

import itertools
import socket
import sys
import threading
import time

from kos_edge.transport.coap import NON, POST, Message
from kos_edge.transport.surface import EDHOC_PATH
from kos_edge.transport.wire import encode_datagram
from tests.faults.strangers import hello, path_options

BURST = 20
"""Datagrams sent at once."""


def main(port: str, rate: str) -> None:
    sockets = []
    for number in range(40):
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind((f"127.1.{number}.1", 0))
        opened.connect(("127.0.0.1", int(port)))
        opened.setblocking(False)
        sockets.append(opened)
    payloads = [hello(seed) for seed in range(50)]
    options, pause = path_options(EDHOC_PATH), threading.Event()
    began, sent = time.monotonic(), 0
    for number in itertools.count():
        message = Message(
            POST, number.to_bytes(8, "big"), options, payloads[number % 50], NON, number & 0xFFFF
        )
        try:
            sockets[number % 40].send(encode_datagram(message))
        except OSError:
            continue
        sent += 1
        if sent % BURST == 0:
            pause.wait(max(0.0, began + sent / float(rate) - time.monotonic()))


if __name__ == "__main__":
    main(*sys.argv[1:])
