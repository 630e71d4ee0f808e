"""The roster: the members that a node knows of, by key and by name.

Of one key only the membership of the highest rank is kept, so that rosters that have heard the same are the
same. Names are unique in a mesh: an issuer sees to that, and the roster says when two issuers did not agree.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator

from kos_edge.errors import Invalid
from kos_edge.klp import cbor
from kos_edge.klp.identity import kid_text
from kos_edge.klp.stream import audience_to_wire
from kos_edge.mesh.claims import check_name
from kos_edge.mesh.membership import (
    REPLACES,
    Membership,
    Revoked,
    Standing,
    is_shut_out,
    nobody_revoked,
    verify_membership,
)
from kos_edge.mesh.policy import shared_audiences

MAX_MEMBERS = 65_536
MAX_NAME = 63

Listed = tuple[bytes, str, str]
"""Somebody who can be spoken of: kid, namespace, name."""


class Roster:
    """Memberships that were verified, by kid. Revoked keys stay listed and hold no name."""

    def __init__(self, revoked: Revoked = nobody_revoked) -> None:
        self._revoked = revoked
        self._members: dict[bytes, Membership] = {}
        self._names: dict[str, set[bytes]] = {}
        self._audiences: dict[str, set[bytes]] = {}  # by role and group

    def __len__(self) -> int:
        return len(self._members)

    def __iter__(self) -> Iterator[Membership]:
        """By name, then by kid."""
        return iter(sorted(self._members.values(), key=lambda member: (member.name, member.kid)))

    def __contains__(self, kid: bytes) -> bool:
        return kid in self._members

    def get(self, kid: bytes) -> Membership | None:
        return self._members.get(kid)

    def of(self, audience: str) -> list[Membership]:
        """The members of an audience in its text form, in no order; how many others there are costs nothing."""
        to = audience_to_wire(audience)
        if isinstance(to, bytes):
            member = self._members.get(to)
            return [] if member is None else [member]
        if audience == "all":
            return list(self._members.values())
        return [self._members[kid] for kid in self._audiences.get(audience, ())]

    def add(self, membership: Membership) -> bool:
        """Take a *verified* membership; whether it changed anything. Raises Invalid when there is no room.

        What a revoked issuer said gives way to any that stands.
        """
        known = self._members.get(membership.kid)
        if known is not None and self._weight(known) >= self._weight(membership):
            return False
        if known is None and len(self._members) >= MAX_MEMBERS:
            raise Invalid(f"a mesh has at most {MAX_MEMBERS} members")
        self.remove(membership.kid)
        self._members[membership.kid] = membership
        self._names.setdefault(membership.name, set()).add(membership.kid)
        for audience in shared_audiences(membership):
            self._audiences.setdefault(audience, set()).add(membership.kid)
        return True

    def remove(self, kid: bytes) -> None:
        """Forget a member, if it is there."""
        known = self._members.pop(kid, None)
        if known is not None:
            _discard(self._names, known.name, kid)
            for audience in shared_audiences(known):
                _discard(self._audiences, audience, kid)

    def revoked(self, member: Membership) -> bool:
        """Whether this member's key, or one above it, is revoked, or it is a hub that was replaced."""
        return is_shut_out(member, self._revoked) or self.retired(member)

    def retired(self, member: Membership) -> bool:
        """Whether it is a hub whose place another of its name has taken, by the authority's word.

        It has nothing more to say; the members that it admitted stay members.
        """
        if member.standing is not Standing.ISSUER:
            return False
        others = (self._members[kid] for kid in self._names.get(member.name, ()) if kid != member.kid)
        return any(
            other.standing is Standing.ISSUER
            and REPLACES in other.capabilities
            and _succession(other) > _succession(member)
            and not is_shut_out(other, self._revoked)
            for other in others
        )

    def named(self, name: str) -> Membership | None:
        """The member that holds this name; of several (two issuers out of touch) the one who had it first."""
        holders = self._holders(name.lower())
        return min(holders, key=_seniority) if holders else None

    def free_name(self, wanted: str, kid: bytes) -> str:
        """`wanted`, with the lowest of -2, -3, … if another key holds it. Raises Invalid for no name."""
        name = check_name(wanted.lower())
        number = 1
        while any(holder.kid != kid for holder in self._holders(name)):
            number += 1
            name = wanted.lower()[: MAX_NAME - 1 - len(str(number))] + f"-{number}"
        return name

    def conflicts(self) -> dict[str, tuple[Membership, ...]]:
        """Names held by more than one key, each with its holders, the first who had it first."""
        found = {name: tuple(sorted(self._holders(name), key=_seniority)) for name in sorted(self._names)}
        return {name: holders for name, holders in found.items() if len(holders) > 1}

    def who(self, text: str) -> bytes:
        """The kid of the one that `text` means: a name, a kid, or the beginning of a kid's hex digits.

        A revoked member is meant by its name only as long as nobody else bears it. Raises Invalid when that
        is nobody, or more than one, who are then listed.
        """
        return resolve(text, [(member.kid, member.namespace, self._spoken_name(member)) for member in self])

    def to_wire(self) -> bytes:
        """The whole roster, for storing."""
        return cbor.encode([self._members[kid].cwt for kid in sorted(self._members)])

    @classmethod
    def from_wire(
        cls, data: bytes, mesh: bytes, *, at: float | None = None, revoked: Revoked = nobody_revoked
    ) -> Roster:
        """A stored roster, every membership verified again; the revoked are kept as such. Raises Invalid."""
        items = cbor.decode(data, limit=len(data), items=MAX_MEMBERS + 1)
        if type(items) is not list or not all(type(item) is bytes for item in items):
            raise Invalid("a stored roster is an array of byte strings")
        roster = cls(revoked)
        for item in items:
            roster.add(verify_membership(item, mesh, at=at))
        return roster

    def _weight(self, member: Membership) -> tuple[bool, tuple[int, int, bytes]]:
        return not self.revoked(member), member.rank

    def _spoken_name(self, member: Membership) -> str:
        succeeded = self.revoked(member) and self._holders(member.name)
        return f"{member.name} (revoked)" if succeeded else member.name

    def _holders(self, name: str) -> list[Membership]:
        members = (self._members[kid] for kid in self._names.get(name, ()))
        return [member for member in members if not self.revoked(member)]


def _discard(index: dict[str, set[bytes]], name: str, kid: bytes) -> None:
    index[name].discard(kid)
    if not index[name]:
        del index[name]


def resolve(text: str, listed: Iterable[Listed], *, of: str = "member") -> bytes:
    """The kid of the one in `listed` that `text` means. Raises Invalid with the candidates or near names."""
    everybody = list(listed)
    wanted = text.strip().lower()
    digits = wanted
    namespace = None
    if wanted.startswith("kid:"):
        namespace, _, digits = wanted[4:].partition(":")
    found = [
        (kid, space, name)
        for kid, space, name in everybody
        if name == wanted or (digits and kid.hex().startswith(digits) and namespace in (None, space))
    ]
    if len({kid for kid, _, _ in found}) == 1:
        return found[0][0]
    if found:
        candidates = ", ".join(sorted(f"{name} ({kid_text(kid, space)})" for kid, space, name in found[:8]))
        many = f"{text[:80]!r} may mean {len(found)}: {candidates}"
        raise Invalid(many, hint="give more digits of the kid")
    near = difflib.get_close_matches(wanted, [name for _, _, name in everybody], n=3)
    hint = f"is it {' or '.join(near)}?" if near else "a name, or the beginning of a kid"
    raise Invalid(f"no {of} is called {text[:80]!r}", hint=hint)


def _succession(issuer: Membership) -> tuple[bool, int, bytes]:
    """Of issuers of one name the greatest holds its place; the first that replaces does whatever a clock said."""
    return (REPLACES in issuer.capabilities, issuer.issued_at, issuer.serial)


def _seniority(member: Membership) -> tuple[int, bytes]:
    return (member.not_before, member.kid)
