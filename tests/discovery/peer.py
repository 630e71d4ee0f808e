"""Nothing but discovery, as a process: `python -m tests.discovery.peer KID INTERFACE…`; events as JSON."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from typing import Any

from kos_edge.discovery.mdns import Mdns
from kos_edge.discovery.sighting import Advertisement, Event, Found, Lost, Trouble, Working
from kos_edge.mesh.claims import Role


def as_json(event: Event) -> dict[str, Any]:
    match event:
        case Found(kid_claimed=kid, role=role, addresses=addresses) if kid is not None:
            hosts = [(hint.host, hint.port, hint.tcp_port) for hint in addresses]
            return {"event": "found", "kid": kid.hex(), "role": role and role.text, "addresses": hosts}
        case Lost(kid):
            return {"event": "lost", "kid": kid.hex()}
        case Working(interfaces):
            return {"event": "working", "interfaces": interfaces}
        case Trouble(message, hint):
            return {"event": "trouble", "message": message, "hint": hint}
    raise TypeError(event)


async def main(kid: str, *named: str) -> None:
    advertisement = Advertisement(bytes.fromhex(kid), Role.EDGE, bytes(32), 5683, 5684)
    mdns = Mdns(
        lambda event: print(json.dumps(as_json(event)), flush=True), advertisement=advertisement, named=named
    )
    running = asyncio.ensure_future(mdns.run())
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, running.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await running


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
