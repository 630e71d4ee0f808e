"""All that a stranger can reach: two resources, and a short word for everything else.

What is said to a stranger never tells what else there is: whatever path was asked for, the answer is the
same.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Final

from kos_edge.transport.coap import CONTENT, GET, LINK_FORMAT, POST, UNAUTHORIZED, Request, Response

CORE_PATH: Final = "/.well-known/core"
EDHOC_PATH: Final = "/.well-known/edhoc"
OPEN_PATHS: Final = frozenset((CORE_PATH, EDHOC_PATH))

LINKS: Final = b"</.well-known/edhoc>;rt=core.edhoc"
"""RFC 6690, with the resource type of RFC 9528 section 10.10."""

AMPLIFICATION: Final = 3
"""An answer to an address that nobody proved is at most so many times its request, RFC 9175 section 2.6."""

MAX_STRANGERS: Final = 64
"""Unprotected requests that are being answered at one time."""

RATE: Final = 2.0
"""Refusals a second to one host, on the average."""

BURST: Final = 8.0
"""Refusals to one host at once."""

MAX_HOSTS: Final = 1_024
"""Hosts whose rate is remembered; the one not heard of for longest is forgotten first."""


@dataclass(slots=True)
class _Bucket:
    left: float
    at: float


class Limiter:
    """How much a host may still cause: a bucket each, filled at `rate` a second up to `burst`."""

    def __init__(self, rate: float = RATE, burst: float = BURST, hosts: int = MAX_HOSTS) -> None:
        self._rate, self._burst, self._hosts = rate, burst, hosts
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def allow(self, host: str, now: float, cost: float = 1.0) -> bool:
        """Whether one more of this cost is within bounds; counts it if so."""
        bucket = self._buckets.pop(host, None) or _Bucket(self._burst, now)
        bucket.left = min(self._burst, bucket.left + (now - bucket.at) * self._rate)
        bucket.at = now
        self._buckets[host] = bucket
        if len(self._buckets) > self._hosts:
            self._buckets.popitem(last=False)
        if bucket.left < cost:
            return False
        bucket.left -= cost
        return True


def is_handshake(request: Request) -> bool:
    """Whether an unprotected request is one for the handshake's resource."""
    return request.code == POST and request.path == EDHOC_PATH


def plain_answer(request: Request) -> Response:
    """What an unprotected request that is no handshake gets."""
    if request.code == GET and request.path == CORE_PATH:
        return Response(CONTENT, LINKS, LINK_FORMAT)
    return Response(UNAUTHORIZED)
