"""Secrets at rest: what goes in comes out, and nothing that was altered is a vault any more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kos_edge.errors import Invalid, KosError, Refused
from kos_edge.klp import cbor
from kos_edge.mesh.recovery import Cost
from kos_edge.vault.lock import Kind, Lock
from kos_edge.vault.vault import MAX_SECRET, Vault, check_name

FILE = Lock(Kind.FILE)
KEY = FILE.key(bytes(range(32)))
OTHER = FILE.key(bytes(32))


def filled() -> Vault:
    vault = Vault(FILE, KEY)
    vault.put("mqtt.password", b"hunter2", 1_800_000_000)
    vault.put("wifi", "Größe".encode(), 0)
    return vault


def test_what_was_put_is_there_after_it_was_written_and_read() -> None:
    again = Vault.open(filled().to_wire(), KEY)
    assert again.get("mqtt.password") == b"hunter2"
    assert again.names() == {"mqtt.password": 1_800_000_000, "wifi": 0}
    again.remove("wifi")
    assert list(Vault.open(again.to_wire(), KEY).names()) == ["mqtt.password"]


def test_nothing_of_a_secret_or_a_key_can_be_read_in_the_file() -> None:
    data = filled().to_wire()
    for inside in (b"hunter2", "Größe".encode(), KEY, bytes(range(32))):
        assert inside not in data


def test_another_key_opens_nothing() -> None:
    with pytest.raises(Refused, match="does not open"):
        Vault.open(filled().to_wire(), OTHER)


def test_every_flipped_bit_is_noticed() -> None:
    data = filled().to_wire()
    for place in range(len(data) * 8):
        bad = bytearray(data)
        bad[place // 8] ^= 1 << place % 8
        with pytest.raises(KosError):
            Vault.open(bytes(bad), KEY)


@given(st.binary(max_size=200))
def test_bytes_that_are_no_vault_are_invalid(data: bytes) -> None:
    with pytest.raises(Invalid):
        Vault.open(data, KEY)


def test_no_secret_can_be_taken_out_renamed_or_brought_back() -> None:
    vault = filled()
    before = cbor.decode(vault.to_wire(), limit=9_999)
    vault.put("mqtt.password", b"changed", 1_800_000_001)
    now = cbor.decode(vault.to_wire(), limit=9_999)
    out, old, swapped = ({**now[5]} for _ in range(3))
    del out["wifi"]
    old["mqtt.password"] = before[5]["mqtt.password"]
    swapped["wifi"], swapped["mqtt.password"] = now[5]["mqtt.password"], now[5]["wifi"]
    for entries in (out, old, swapped):
        with pytest.raises(Invalid, match="not as it was written"):
            Vault.open(cbor.encode([*now[:5], entries, now[6]]), KEY)


def test_after_a_rotation_neither_the_old_key_nor_the_old_data_key_opens_anything() -> None:
    vault = filled()
    old_key = vault._data_key
    vault.rotate(FILE, OTHER)
    again = Vault.open(vault.to_wire(), OTHER)
    assert again.get("mqtt.password") == b"hunter2"
    assert again.names() == {"mqtt.password": 1_800_000_000, "wifi": 0}
    assert again._data_key != old_key
    with pytest.raises(Refused):
        Vault.open(vault.to_wire(), KEY)


def test_a_passphrase_opens_however_it_is_typed_and_a_short_one_never() -> None:
    lock = Lock(Kind.PASSPHRASE, Cost(4, 1), bytes(16))
    assert lock.key("Größe der Welt".encode()) == lock.key("Gro\u0308ße der Welt".encode())
    assert lock.key(b"correct horse") != Lock(Kind.PASSPHRASE, Cost(4, 1), b"1" * 16).key(b"correct horse")
    for bad in (b"short", b"\xff" * 20):
        with pytest.raises(Invalid):
            lock.key(bad)
    data = Vault(lock, lock.key(b"correct horse")).to_wire()
    assert Vault.lock_of(data) == lock


def test_a_file_that_asks_for_an_hour_of_work_is_no_vault() -> None:
    for wire in (
        [2, 40, 1, bytes(16)],
        [2, 15, 9_999, bytes(16)],
        [2, 15, 3, b""],
        [0, 15, 3, bytes(16)],
        [7, 0, 0, b""],
    ):
        with pytest.raises(Invalid, match="lock"):
            Lock.from_wire(wire)


def test_names_and_sizes_have_bounds() -> None:
    vault = filled()
    for name in ("", "A", "a b", "-a", "a" * 65, "a/b", "ä"):
        with pytest.raises(Invalid, match="no name"):
            check_name(name)
    for secret in (b"", bytes(MAX_SECRET + 1)):
        with pytest.raises(Invalid, match="bytes"):
            vault.put("a", secret, 0)
    for missing in (vault.get, vault.remove):
        with pytest.raises(Invalid, match="no secret"):
            missing("none")
