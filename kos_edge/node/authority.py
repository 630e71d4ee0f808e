"""The authority at work, from its recovery file: another hub, a hub in the place of a dead one, a new authority key.

Each needs the passphrase, and works on a state that no daemon runs on. Nothing here needs any other node: members
accept a hub that they have never seen by the authority's signature, and hear the rest from it.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable
from pathlib import Path

from kos_edge.control.reports import AuthorityReport, InitReport
from kos_edge.errors import Invalid, Refused, Unavailable
from kos_edge.klp.identity import KeyPair, fingerprint_words, kid_text, parse_kid
from kos_edge.mesh.authority import Authority
from kos_edge.mesh.claims import Role, check_name
from kos_edge.mesh.membership import REPLACES, verify_membership
from kos_edge.mesh.policy import STARTER, sign_policy
from kos_edge.mesh.recovery import MAX_FILE, open_recovery_file, recovery_file
from kos_edge.mesh.revocation import Revocations
from kos_edge.node.durable_file import write_durably
from kos_edge.node.initialize import RECOVERY_NAME, clear_leftovers, put_name, refuse_second
from kos_edge.node.keyfile import find_key, write_key
from kos_edge.node.statedir import STORE_NAME, StateDir
from kos_edge.node.trust import MEMBER
from kos_edge.node.uptime import FLOOR_S
from kos_edge.store.store import Store

_Random = Callable[[int], bytes]
_Wall = Callable[[], float]


def make_hub(
    path: Path,
    name: str,
    recovery: bytes,
    passphrase: str,
    *,
    replaces: bool = False,
    stolen: str | None = None,
    random: _Random = os.urandom,
    wall: _Wall = time.time,
) -> InitReport:
    """A new hub of a mesh that there is, in `path`. With `replaces` it takes the place of the hub of its name.

    The hub that is replaced has nothing more to say; the members that it admitted go on. `stolen` is the kid of a hub
    whose key somebody else may have: it is revoked, and whom it admitted has to be admitted anew.
    Raises Refused for a wrong passphrase or where there is a node already, Invalid for a damaged file or a bad name.
    """
    chosen = check_name(name.lower())
    authority = open_recovery_file(recovery, passphrase)
    state = StateDir.create(path)
    at = max(wall(), FLOOR_S)
    with state.lock():
        key = KeyPair.generate(random)
        refuse_second(state)
        clear_leftovers(path)
        member = authority.issue_issuer(
            key.public, chosen, at=at, capabilities=(REPLACES,) if replaces else (), random=random
        )
        policy = sign_policy(authority.seal, STARTER, number=1, at=int(at))
        revocations = Revocations(authority.mesh)
        if stolen is not None:
            authority.revoke(_kid(stolen), "replaced: its key may be in other hands", revocations, at=at)
        with contextlib.closing(Store(path / STORE_NAME)) as store:

            def work() -> None:
                store.database.put("mesh", authority.mesh)
                store.database.put("membership", member.cwt)
                store.database.put("policy", policy)
                store.database.put("revocations", revocations.to_wire())
                store.records.put(MEMBER, member.kid, member.cwt)
                put_name(store, chosen, Role.HUB)

            store.database.transact([work])
        write_key(state.key_file, key)
    return InitReport(
        state=str(path),
        name=chosen,
        role=Role.HUB.text,
        kid=kid_text(key.kid),
        public=key.public.hex(),
        words=fingerprint_words(key.public),
        mesh=authority.mesh.hex(),
        recovery=None,
        passphrase=None,
    )


def rotate(
    path: Path, passphrase: str, *, random: _Random = os.urandom, wall: _Wall = time.time
) -> AuthorityReport:
    """A new authority key, signed by the present one, in the recovery file of the hub in `path`.

    The file that there was is kept beside it until the new one has been moved to its safe place. This hub gets a new
    membership by the new key; what others hold stays good. Raises as `make_hub`.
    """
    state = StateDir.open(path)
    at = max(wall(), FLOOR_S)
    with state.lock(), contextlib.closing(Store(path / STORE_NAME)) as store:
        recovery = read_recovery(path / RECOVERY_NAME)
        before = open_recovery_file(recovery, passphrase)
        _check_mesh(store, before)
        cwt = store.database.get("membership")
        known = None if cwt is None else verify_membership(cwt, before.mesh)
        if known is None or not known.can_issue:
            raise Refused("this node is no hub", hint="rotate the authority where a hub is")
        after = before.rotate(at=at, random=random)
        extra = tuple(text for text in known.capabilities if text == REPLACES)
        member = after.issue_issuer(
            find_key(state.key_file).value.public,
            known.name,
            at=at,
            known=known,
            namespace=known.namespace,
            capabilities=extra,
            random=random,
        )
        write_durably(path / f"{RECOVERY_NAME}.before", recovery, mode=0o600)
        write_durably(path / RECOVERY_NAME, recovery_file(after, passphrase, random=random), mode=0o600)

        def work() -> None:
            store.database.put("membership", member.cwt)
            store.records.put(MEMBER, member.kid, member.cwt)

        store.database.transact([work])
    return _report(path / RECOVERY_NAME, after)


def export(path: Path, target: Path, passphrase: str, *, remove: bool = False) -> AuthorityReport:
    """Copy the recovery file of the state in `path` to `target`, opened once to be sure; `remove` it here afterwards.

    Raises Refused for a wrong passphrase or where `target` exists, Unavailable where it cannot be written.
    """
    source = path / RECOVERY_NAME
    data = read_recovery(source)
    authority = open_recovery_file(data, passphrase)
    if target.exists():
        raise Refused(f"{target} exists", hint="name another file")
    write_durably(target, data, mode=0o600)
    if read_recovery(target) != data:
        raise Unavailable(f"{target} does not hold what was written", hint="try another medium")
    if remove:
        for each in (source, path / f"{RECOVERY_NAME}.before"):
            each.unlink(missing_ok=True)
    return _report(target, authority)


def bring(path: Path, source: Path, passphrase: str) -> AuthorityReport:
    """Put a recovery file into the state of a hub of its mesh, to rotate the authority there. Raises as `export`."""
    data = read_recovery(source)
    authority = open_recovery_file(data, passphrase)
    state = StateDir.open(path)
    with state.lock(), contextlib.closing(Store(path / STORE_NAME)) as store:
        _check_mesh(store, authority)
        write_durably(path / RECOVERY_NAME, data, mode=0o600)
    return _report(path / RECOVERY_NAME, authority)


def read_recovery(path: Path) -> bytes:
    """The bytes of a recovery file. Raises Unavailable."""
    try:
        with path.open("rb") as file:
            return file.read(MAX_FILE)
    except OSError as error:
        raise Unavailable(
            f"cannot read {path}: {error.strerror}",
            hint="the recovery file was moved away from the hub: where is it?",
        ) from None


def _check_mesh(store: Store, authority: Authority) -> None:
    if store.database.get("mesh") != authority.mesh:
        raise Refused("the recovery file is of another mesh than this node")


def _kid(text: str) -> bytes:
    try:
        return parse_kid(text)[1] if text.startswith("kid:") else bytes.fromhex(text.strip())[:16]
    except ValueError:
        raise Invalid(f"{text[:80]!r} is no kid", hint="32 hex digits: kos-edge peers shows it") from None


def _report(path: Path, authority: Authority) -> AuthorityReport:
    return AuthorityReport(
        recovery=str(path),
        mesh=authority.mesh.hex(),
        kid=kid_text(authority.kid, "authority"),
        rotations=len(authority.rotations),
    )
