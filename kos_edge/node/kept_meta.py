"""The copy of what the store says of this node, in a small file beside it."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from kos_edge.errors import Invalid, KosError
from kos_edge.klp import cbor
from kos_edge.node.durable_file import FILE_LIMIT, StateFile
from kos_edge.said import Said

NAME = "kos.meta"
_CHECK_BYTES = 32

Kept = StateFile[dict[str, bytes]]

log = logging.getLogger(__name__)


def kept_meta(state: Path) -> Kept:
    """The file in this state directory."""
    return StateFile(state / NAME, _parse)


def keep_meta(kept: Kept, meta: dict[str, bytes]) -> None:
    """Write the copy. Where the disk takes nothing the one before stays: the database itself is committed."""
    body = cbor.encode([[key, meta[key]] for key in sorted(meta)])
    try:
        kept.write(hashlib.sha256(body).digest() + body)
    except KosError as error:
        log.debug("the copy of what the store says of this node is not written: %s", error)


def kept_or_empty(kept: Kept) -> dict[str, bytes]:
    """What the copy says; nothing where there is none or it is damaged too."""
    try:
        found = kept.read()
    except Invalid as error:
        log.warning("%s", error, extra=Said.FILE_DAMAGED.of())
        return {}
    return {} if found is None else found.value


def is_station(state: Path) -> bool:
    """Whether the node of this state is an operator's, from which others are administered."""
    return kept_or_empty(kept_meta(state)).get("role") == b"operator"


def _parse(data: bytes) -> dict[str, bytes]:
    body = data[_CHECK_BYTES:]
    if hashlib.sha256(body).digest() != data[:_CHECK_BYTES]:
        raise Invalid("its checksum is wrong")
    pairs = cbor.decode(body, limit=FILE_LIMIT)
    return {str(key): bytes(value) for key, value in pairs}
