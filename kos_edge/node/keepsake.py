"""What a salvage of the store stands on: a copy of its `meta` and memberships, and the keys that prove what is in it.

`meta` says who this node is, its mesh, its epoch; a membership has the key that proves what its owner sent. Both are
small, change seldom, and one bad page could take them.
"""

from __future__ import annotations

from kos_edge.bootstrap.admission import Mode
from kos_edge.errors import Invalid
from kos_edge.klp.sealed import Sealed
from kos_edge.node.kept_meta import Kept, kept_or_empty
from kos_edge.node.trust import Trust
from kos_edge.store.database import Damaged
from kos_edge.store.finds import is_proven
from kos_edge.store.store import Store


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
