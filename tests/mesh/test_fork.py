"""What proves that two hold one key, and what an honest source may sign."""

from __future__ import annotations

import pytest

from kos_edge.errors import Invalid, Unavailable
from kos_edge.klp.fork import Statement, contradiction
from kos_edge.klp.identity import KeyPair
from kos_edge.klp.pack import Pack
from kos_edge.mesh import fork
from kos_edge.mesh.claims import Role
from kos_edge.mesh.fork import Forks, prove, read_ids, verify_fork
from tests.mesh.world import AUTHORITY, OTHER_AUTHORITY, PUMP, T0, hub
from tests.vectors.mesh_forks import NO_PROOFS, ONE, PROOFS, TWO, pack

MESH = AUTHORITY.mesh


@pytest.mark.parametrize(("one", "other"), PROOFS.values(), ids=PROOFS)
def test_whichever_stands_first_it_is_a_contradiction(one: Pack, other: Pack) -> None:
    first, second = Statement.of(one), Statement.of(other)
    assert contradiction(first, second) == contradiction(second, first) is not None


@pytest.mark.parametrize(("one", "other"), NO_PROOFS.values(), ids=NO_PROOFS)
def test_what_an_honest_source_signs_is_none(one: Pack, other: Pack) -> None:
    first, second = Statement.of(one), Statement.of(other)
    assert contradiction(first, second) is contradiction(second, first) is None


def test_a_proof_needs_nothing_but_the_mesh() -> None:
    member = hub().admit(PUMP.public, "pump", Role.EDGE, at=T0)
    made = prove(member, *PROOFS["two-epochs-after-one"], MESH)
    assert verify_fork(made.raw, MESH) == made
    assert made.kid == PUMP.kid
    with pytest.raises(Invalid):
        verify_fork(made.raw, OTHER_AUTHORITY.mesh)
    with pytest.raises(Invalid):
        prove(member, ONE, TWO, MESH)


def test_every_flipped_byte_of_a_proof_is_noticed() -> None:
    member = hub().admit(PUMP.public, "pump", Role.EDGE, at=T0)
    raw = prove(member, *PROOFS["two-at-one-place"], MESH).raw
    for place in range(len(raw)):
        flipped = raw[:place] + bytes([raw[place] ^ 0x10]) + raw[place + 1 :]
        with pytest.raises(Invalid):
            verify_fork(flipped, MESH)


def test_sets_of_proofs_merge_by_union_and_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fork, "MAX_FORKS", 3)
    issuer = hub()
    keys = [KeyPair.from_seed(bytes([number]) * 32) for number in range(1, 5)]
    proofs = []
    for number, key in enumerate(keys):
        member = issuer.admit(key.public, f"pump-{number}", Role.EDGE, at=T0)
        pair = [pack(value, 2 << 32, 1, None, key=key) for value in (1, 2)]
        proofs.append(prove(member, pair[0], pair[1], MESH).raw)
    one, other = Forks(MESH), Forks(MESH)
    assert one.take(proofs[0]) is not None
    assert one.take(proofs[0]) is None
    one.take(proofs[1])
    other.take(proofs[2])
    for here, there in ((one, other), (other, one)):
        for raw in here.beyond(read_ids(there.ids())):
            there.take(raw)
    assert one.ids() == other.ids()
    assert one.beyond(other.ids()) == []
    with pytest.raises(Unavailable):
        one.take(proofs[3])
    one.drop(keys[0].kid)
    assert one.take(proofs[3]) is not None


@pytest.mark.parametrize("value", [None, 1, "text", b"seven..", bytes(8 * 65)])
def test_what_is_said_to_be_held_is_ids(value: object) -> None:
    with pytest.raises(Invalid):
        read_ids(value)
