"""What a salvage of the store stands on: a copy of its `meta` and memberships, and the keys that prove what is in it.

`meta` says who this node is, its mesh, its epoch; a membership has the key that proves what its owner sent. Both are
small, change seldom, and one bad page could take them.
"""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from kos_edge.bootstrap.admission import Mode
from kos_edge.errors import Invalid, KosError
from kos_edge.klp import cbor
from kos_edge.klp.sealed import Sealed
from kos_edge.node.durable_file import FILE_LIMIT, StateFile
from kos_edge.node.trust import Trust
from kos_edge.said import Said
from kos_edge.store.database import Damaged
from kos_edge.store.finds import is_proven
from kos_edge.store.store import Store

NAME = "kos.meta"
_CHECK_BYTES = 32

log = logging.getLogger(__name__)

Kept = StateFile[dict[str, bytes]]


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


def load_trust(trust: Trust, store: Store, now: float, mode: Mode, kept: Kept) -> None:
    """Read what the store says of this node and its mesh.

    Raises Damaged where that makes no sense and the copy says something else, for then a salvage helps; else Invalid.
    """
    try:
        trust.load(store, now, mode)
    except Invalid as error:
        if kept_or_empty(kept) in ({}, store.database.worth_a_copy()):
            raise
        raise Damaged(f"the records in the store cannot be read: {error.message}") from error


def proves(trust: Trust, sealed: Sealed) -> bool:
    """Whether the signature of something kept here is its source's; True where that key is not known.

    Those that this node had are known even where the roster has forgotten them: what they signed is sealed again by the
    present one, and what a damaged page made of it would be properly signed then.
    """
    source = sealed.stream.source
    member = trust.roster.get(source)
    own = trust.key.public if source == trust.kid else trust.former.get(source)
    public = own or (member and member.public)
    meshes = [mesh for mesh in (trust.mesh, *trust.left) if mesh is not None]
    return not public or not meshes or is_proven(sealed, public, meshes)


def _parse(data: bytes) -> dict[str, bytes]:
    body = data[_CHECK_BYTES:]
    if hashlib.sha256(body).digest() != data[:_CHECK_BYTES]:
        raise Invalid("its checksum is wrong")
    pairs = cbor.decode(body, limit=FILE_LIMIT)
    return {str(key): bytes(value) for key, value in pairs}
