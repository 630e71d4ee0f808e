"""A new key for a node that goes on: the way back of the right one where two devices had one key.

The name, the queue and the journal stay. What the old key sealed is compared with whom it is for, and what is missing
there is sealed again by the new one (`numbering`). A crash at any moment leaves the old key, or the new one with the
wish to join: the key file is what decides, and loading finishes the rest.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from pathlib import Path

from kos_edge.control.reports import RekeyReport
from kos_edge.errors import Refused
from kos_edge.klp import cbor
from kos_edge.klp.identity import KeyPair, fingerprint_words, kid_text
from kos_edge.mesh.membership import verify_membership
from kos_edge.mesh.token import Token
from kos_edge.node.keyfile import find_key, replace_key
from kos_edge.node.statedir import STORE_NAME, StateDir
from kos_edge.node.trust import REKEY
from kos_edge.store.store import Store


def rekey(path: Path, token: str, *, random: Callable[[int], bytes] = os.urandom) -> RekeyReport:
    """Make a new key for the node in `path`, which wants to join with `token` from now on.

    Raises Refused for a node in no mesh, for a hub, and for a token of another mesh; Invalid for a mistyped one.
    """
    state = StateDir.open(path)
    parsed = Token.parse(token)
    with state.lock(), contextlib.closing(Store(path / STORE_NAME)) as store:
        old = find_key(state.key_file).value
        mesh, cwt = store.database.get("mesh"), store.database.get("membership")
        if mesh is None or cwt is None:
            raise Refused("this node is a member of no mesh", hint="kos-edge join TOKEN")
        if parsed.mesh != mesh:
            raise Refused(
                "the token is for another mesh", hint="ask for one: kos-edge invite --replaces NAME"
            )
        member = verify_membership(cwt, mesh)
        if member.can_issue:
            raise Refused("a hub gets a new key from the authority", hint="kos-edge hub replace")
        wish = cbor.encode({"token": parsed.text, "role": member.role.text, "name": member.name})
        store.database.transact([lambda: store.database.put(REKEY, wish)])
        key = KeyPair.generate(random)
        replace_key(state.key_file, key)
    return RekeyReport(
        name=member.name,
        old=kid_text(old.kid, member.namespace),
        kid=kid_text(key.kid, member.namespace),
        public=key.public.hex(),
        words=fingerprint_words(key.public),
    )
