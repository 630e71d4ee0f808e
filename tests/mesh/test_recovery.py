from __future__ import annotations

import base64
import hashlib

import pytest

from kos_edge.errors import Invalid, Refused
from kos_edge.klp import cbor
from kos_edge.mesh.recovery import COST, Cost, open_recovery_file, recovery_file
from tests.mesh.world import AUTHORITY, T0, chance

CHEAP = Cost(log_n=4, p=1)
PASSPHRASE = "correct horse battery"


def written(cost: Cost = CHEAP) -> bytes:
    return recovery_file(AUTHORITY, PASSPHRASE, cost=cost, random=chance(4))


def written_with(cost: Cost) -> bytes:
    """A file whose header names another cost than it was made with, its checksum being right."""
    head, _, body = written().partition(b"\n\n")
    value = cbor.decode(base64.b64decode(body)[:-8])
    value[2], value[3] = cost.log_n, cost.p
    changed = cbor.encode(value)
    return head + b"\n\n" + base64.b64encode(changed + hashlib.sha256(changed).digest()[:8]) + b"\n"


def test_a_recovery_file_gives_the_authority_back() -> None:
    assert open_recovery_file(written(), PASSPHRASE) == AUTHORITY
    rotated = AUTHORITY.rotate(at=T0, random=chance(6))
    assert open_recovery_file(recovery_file(rotated, PASSPHRASE, cost=CHEAP), PASSPHRASE) == rotated


def test_the_cost_of_a_guess_is_32_mib_and_three_passes() -> None:
    assert open_recovery_file(recovery_file(AUTHORITY, PASSPHRASE), PASSPHRASE) == AUTHORITY
    assert 128 * 8 * 2**COST.log_n == 32 * 2**20
    assert COST.p == 3


def test_a_wrong_passphrase_is_refused_in_so_many_words() -> None:
    with pytest.raises(Refused, match="passphrase does not open"):
        open_recovery_file(written(), PASSPHRASE + "!")


def test_a_passphrase_is_the_same_however_its_accents_are_typed() -> None:
    file = recovery_file(AUTHORITY, "cafe\u0301 au lait", cost=CHEAP)
    assert open_recovery_file(file, "caf\u00e9 au lait") == AUTHORITY


def test_a_short_passphrase_is_not_taken() -> None:
    with pytest.raises(Invalid, match="at least 8"):
        recovery_file(AUTHORITY, "1234567", cost=CHEAP)


def test_the_file_says_what_it_is_and_of_which_mesh_and_shows_no_secret() -> None:
    text = written().decode("ascii")
    assert text.splitlines()[0] == "kos-edge authority recovery file, version 1"
    assert f"mesh: {AUTHORITY.mesh.hex()}" in text
    assert AUTHORITY.key.seed not in base64.b64decode("".join(text.split("\n\n")[1].split()))


def test_a_file_that_went_through_mail_and_another_system_opens() -> None:
    mailed = b"\r\n" + written().replace(b"\n", b"  \r\n") + b"\r\n\r\n"
    assert open_recovery_file(mailed, PASSPHRASE) == AUTHORITY


def test_a_damaged_file_is_told_from_a_wrong_passphrase() -> None:
    file = written()
    start = file.index(b"\n\n") + 2
    for at in range(start, len(file) - 1):
        damaged = file[:at] + (b"A" if file[at : at + 1] != b"A" else b"B") + file[at + 1 :]
        with pytest.raises(Invalid, match=r"damaged|version"):
            open_recovery_file(damaged, PASSPHRASE)


@pytest.mark.parametrize(
    "data", [b"", b"\xff", b"kos-edge", b"kos-edge authority recovery file, version 1\n\n", b"x" * 99]
)
def test_what_is_no_recovery_file_is_invalid(data: bytes) -> None:
    with pytest.raises(Invalid):
        open_recovery_file(data, PASSPHRASE)


def test_a_file_cannot_ask_for_more_memory_than_ours_does() -> None:
    for cost in (Cost(log_n=17, p=1), Cost(log_n=4, p=17)):
        file = written_with(cost)
        with pytest.raises(Invalid, match="more work"):
            open_recovery_file(file, PASSPHRASE)


def test_the_header_is_authenticated() -> None:
    with pytest.raises(Refused):
        open_recovery_file(written_with(Cost(log_n=5, p=1)), PASSPHRASE)
