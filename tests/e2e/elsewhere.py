"""`kos-edge` as on a system that is not Linux: what such a system lacks is taken away before anything is imported."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
import warnings
from asyncio.selector_events import BaseSelectorEventLoop

warnings.simplefilter("ignore")  # of libraries, about a POSIX without fcntl: there is none

pair, family = socket.socketpair, socket.AF_UNIX
socket.socketpair = lambda *_: pair(
    family
)  # the loop wakes itself with one; elsewhere it is made another way

for module in ("fcntl", "pwd", "grp", "resource", "termios"):
    sys.modules[module] = None  # type: ignore[assignment]
for place, names in (
    (
        os,
        "getuid geteuid getgid getegid fchmod pread pwrite O_DIRECTORY O_CLOEXEC posix_fallocate fork chown "
        "major minor",
    ),
    (signal, "SIGHUP SIGUSR1 SIGUSR2"),
    (
        socket,
        "AF_UNIX AF_NETLINK CMSG_SPACE MSG_TRUNC TCP_USER_TIMEOUT TCP_KEEPIDLE TCP_KEEPINTVL TCP_KEEPCNT SO_REUSEPORT",
    ),
    (asyncio, "open_unix_connection start_unix_server"),
    (asyncio.SelectorEventLoop, "add_signal_handler"),
    (BaseSelectorEventLoop, "add_reader add_writer"),
    (socket.socket, "recvmsg sendmsg"),
):
    for name in names.split():
        if name in vars(place):
            delattr(place, name)

from kos_edge.cli import main  # noqa: E402  after all that is gone

main()
