from __future__ import annotations

import pytest

from kos_edge.errors import Invalid, Unavailable
from kos_edge.klp import cbor
from kos_edge.mesh import known_keys
from kos_edge.mesh.claims import Role
from kos_edge.mesh.known_keys import KnownKey, KnownKeys
from tests.mesh.world import LAMP, PUMP


def test_an_allowed_key_is_known_until_it_is_forgotten() -> None:
    keys = KnownKeys()
    known = KnownKey(PUMP.public, Role.RELAY, "pump")
    assert keys.allow(known)
    assert not keys.allow(known)
    assert keys.allow(KnownKey(PUMP.public, Role.EDGE, "pump"))
    assert keys.get(PUMP.kid) == KnownKey(PUMP.public, Role.EDGE, "pump")
    assert keys.forget(PUMP.kid)
    assert not keys.forget(PUMP.kid)
    assert len(keys) == 0


def test_known_keys_survive_storage() -> None:
    keys = KnownKeys()
    keys.allow(KnownKey(PUMP.public, Role.RELAY, "pump"))
    keys.allow(KnownKey(LAMP.public, namespace="agent"))
    assert list(KnownKeys.from_wire(keys.to_wire())) == list(keys)


def test_a_bad_key_name_or_role_is_not_allowed() -> None:
    for known in (
        KnownKey(bytes(32)),
        KnownKey(b"short"),
        KnownKey(PUMP.public, Role.HUB),
        KnownKey(PUMP.public, name="No Name"),
        KnownKey(PUMP.public, namespace="nobody"),
    ):
        with pytest.raises(Invalid):
            KnownKeys().allow(known)
    damaged: list[object] = [[[]], {}, [[PUMP.public, 1, 7, "device"]], [[PUMP.public, 9, None, "device"]]]
    for stored in damaged:
        with pytest.raises(Invalid):
            KnownKeys.from_wire(cbor.encode(stored))


def test_the_list_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known_keys, "MAX_KNOWN_KEYS", 1)
    keys = KnownKeys()
    keys.allow(KnownKey(PUMP.public))
    with pytest.raises(Unavailable):
        keys.allow(KnownKey(LAMP.public))
    assert keys.allow(KnownKey(PUMP.public, Role.RELAY))
