"""Making a node: its key, its store, and for a hub its mesh with a recovery file."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import time
from collections.abc import Callable
from pathlib import Path

from kos_edge.control.reports import InitReport
from kos_edge.errors import Invalid, Refused
from kos_edge.klp.identity import KeyPair, fingerprint_words, kid_text
from kos_edge.mesh.authority import Authority
from kos_edge.mesh.claims import Role, check_name
from kos_edge.mesh.issuer import Issuer
from kos_edge.mesh.membership import Membership
from kos_edge.mesh.policy import STARTER, sign_policy
from kos_edge.mesh.recovery import recovery_file
from kos_edge.mesh.revocation import Revocations
from kos_edge.mesh.roster import Roster
from kos_edge.node.durable_file import write_durably
from kos_edge.node.kept_meta import NAME as KEPT_NAME
from kos_edge.node.kept_meta import keep_meta, kept_meta
from kos_edge.node.keyfile import write_key
from kos_edge.node.statedir import STORE_NAME, StateDir
from kos_edge.node.trust import MEMBER
from kos_edge.node.uptime import FLOOR_S
from kos_edge.store.store import Store

RECOVERY_NAME = "authority.recovery"


def initialize(
    path: Path,
    role: str,
    name: str | None = None,
    *,
    passphrase: str | None = None,
    random: Callable[[int], bytes] = os.urandom,
    wall: Callable[[], float] = time.time,
) -> InitReport:
    """Make a node in `path`; the key is written last, so that what was interrupted can be begun again.

    Raises Refused where there is a node already, CannotCreate, Invalid for a name or a passphrase that will not do.
    """
    chosen = check_name(name.lower()) if name is not None else machine_name()
    state = StateDir.create(path)
    with state.lock():
        key = KeyPair.generate(random)
        refuse_second(state)
        clear_leftovers(path)
        kind = Role.parse(role)
        made_up: str | None = None
        mesh: bytes | None = None
        store = Store(path / STORE_NAME)
        store.keep = lambda meta: keep_meta(kept_meta(path), meta)
        with contextlib.closing(store):
            if kind is Role.HUB:
                made_up = fingerprint_words(random(32)) if passphrase is None else None
                authority = Authority.create(random)
                secret = made_up if passphrase is None else passphrase
                assert secret is not None
                write_durably(
                    path / RECOVERY_NAME, recovery_file(authority, secret, random=random), mode=0o600
                )
                mesh = authority.mesh
                _found(store, authority, key, chosen, at=max(wall(), FLOOR_S), random=random)
            store.database.transact([lambda: put_name(store, chosen, kind)])
        write_key(state.key_file, key)
    return InitReport(
        state=str(path),
        name=chosen,
        role=kind.text,
        kid=kid_text(key.kid),
        public=key.public.hex(),
        words=fingerprint_words(key.public),
        mesh=None if mesh is None else mesh.hex(),
        recovery=None if mesh is None else str(path / RECOVERY_NAME),
        passphrase=made_up,
    )


def machine_name() -> str:
    """This machine's host name as a name in the mesh."""
    text = re.sub(r"[^a-z0-9-]+", "-", socket.gethostname().partition(".")[0].lower()).strip("-")[:63]
    with contextlib.suppress(Invalid):
        return check_name(text)
    return "node"


def refuse_second(state: StateDir) -> None:
    """Raise Refused where there is a node already, be it only the copy of its key."""
    if state.initialised:
        raise Refused(
            f"there is a node in {state.path} already", hint="name another directory with --state DIR"
        )


def clear_leftovers(path: Path) -> None:
    """Remove what an interrupted `init` left. Raises Refused where a store has messages in it."""
    if (path / STORE_NAME).exists():
        with contextlib.closing(Store(path / STORE_NAME)) as store:
            if store.packs.count:
                raise Refused(
                    f"{path / STORE_NAME} has messages in it, and its node's key is gone",
                    hint="put the key back, or move the directory away",
                )
    for leftover in [*path.glob(f"{STORE_NAME}*"), *path.glob(f"{KEPT_NAME}*")]:
        leftover.unlink()


def put_name(store: Store, name: str, role: Role) -> None:
    """Write down what a node is called and what it is."""
    store.database.put("name", name.encode())
    store.database.put("role", role.text.encode())


def _found(
    store: Store, authority: Authority, key: KeyPair, name: str, *, at: float, random: Callable[[int], bytes]
) -> None:
    """A new mesh with this node as its first issuer."""
    member: Membership = authority.issue_issuer(key.public, name, at=at, random=random)
    revocations = Revocations(authority.mesh)
    issuer = Issuer(key, member, authority.mesh, Roster(revocations.is_revoked), revocations)
    policy = sign_policy(issuer.seal, STARTER, number=1, at=int(at))

    def work() -> None:
        store.database.put("mesh", authority.mesh)
        store.database.put("membership", member.cwt)
        store.database.put("policy", policy)
        store.records.put(MEMBER, member.kid, member.cwt)

    store.database.transact([work])
