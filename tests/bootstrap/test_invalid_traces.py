"""RFC 9529 section 4: messages that must be rejected, each for its own reason.

Most are made for method 3 and suite 2, which alone has us reject them. To reach the reason that the RFC has,
each is also tried with METHOD 0 and suite 0 in their places where that leaves the fault as it is.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kos_edge.bootstrap.message import read_hello, read_plaintext_2
from kos_edge.bootstrap.wire import UnknownCredential, WrongSuite
from kos_edge.errors import Invalid
from tests.bootstrap import people

FILE = Path(__file__).parent.parent / "vectors" / "edhoc" / "rfc9529_s4_invalid.json"
INVALID = {value["section"]: value for value in json.loads(FILE.read_text())["values"]}
MESSAGES_1 = {
    section: bytes.fromhex(value["hex"])
    for section, value in INVALID.items()
    if value["name"] == "Invalid message_1"
}

# section: (the message with method 0 and suite 0 where it had 3 and 2, why it is rejected)
FOR_US = {
    "4.1.1": (b"\x84\x00\x00" + MESSAGES_1["4.1.1"][3:], "fewer than four items"),
    "4.1.2": (b"\x00\x00" + MESSAGES_1["4.1.2"][2:], "must be written as an integer"),
    "4.1.3": (b"\x00\x81\x00" + MESSAGES_1["4.1.3"][3:], "an array of at least two"),
    "4.1.4": (b"\x00\x00" + MESSAGES_1["4.1.4"][2:], "G_X is not a byte string"),
    "4.2.1": (b"\x00\x82\x04\x00\x58\x1f" + MESSAGES_1["4.2.1"][7:-2] + b"\x0e", "G_X is not 32 bytes"),
    "4.2.6": (b"\x00\x00" + MESSAGES_1["4.2.6"][2:], "G_X is not 32 bytes"),
    "4.3.1": (b"\x19\x00\x00\x00" + MESSAGES_1["4.3.1"][4:], "longer than needed"),
    "4.3.2": (b"\x00\x9f\x04\x00\xff" + MESSAGES_1["4.3.2"][5:], "indefinite length"),
}


@pytest.mark.parametrize("section", MESSAGES_1)
def test_an_invalid_message_1_of_the_rfc_is_rejected(section: str) -> None:
    with pytest.raises(Invalid):
        people.responder().read_message_1(MESSAGES_1[section])


@pytest.mark.parametrize("section", FOR_US)
def test_the_fault_alone_is_reason_enough(section: str) -> None:
    data, why = FOR_US[section]
    with pytest.raises(Invalid, match=why):
        read_hello(data, (0,))


def test_the_messages_without_their_faults_would_be_accepted() -> None:
    good = b"\x00\x00" + MESSAGES_1["4.1.2"][2:-2] + b"\x0e"
    assert read_hello(good, (0,)).c_i == b"\x0e"


def test_a_suite_that_we_do_not_speak_is_answered_with_those_we_do() -> None:
    # 4.2.1 as it stands, but for its method: it selects suite 24, whose keys are longer than the one it has.
    with pytest.raises(WrongSuite) as caught:
        read_hello(b"\x00" + MESSAGES_1["4.2.1"][1:], (0, 4))
    assert caught.value.supported == (0, 4)


@pytest.mark.parametrize("section", ["4.2.2", "4.2.3"])
def test_any_32_bytes_are_a_key_of_x25519(section: str) -> None:
    # These two are no points of P-256. On Curve25519 every string of 32 bytes is one (RFC 7748 section 5).
    read_hello(b"\x00\x00" + MESSAGES_1[section][2:], (0,))


def test_a_point_of_low_order_is_rejected_before_anything_is_answered() -> None:
    responder = people.responder()
    responder.read_message_1(b"\x00\x00" + MESSAGES_1["4.2.4"][2:])
    with pytest.raises(Invalid, match="low order"):
        responder.message_2(b"\x05")


def test_a_message_2_of_two_items_is_rejected() -> None:
    initiator = people.initiator()
    initiator.message_1()
    with pytest.raises(Invalid, match="not one byte string"):
        initiator.read_message_2(bytes.fromhex(INVALID["4.1.5"]["hex"]))


def test_a_kid_in_a_map_is_rejected() -> None:
    with pytest.raises(Invalid, match="kid in a map"):
        read_plaintext_2(bytes.fromhex(INVALID["4.1.6"]["hex"]))


def test_a_kid_of_one_byte_that_is_not_written_as_an_integer_is_rejected() -> None:
    with pytest.raises(Invalid, match="must be written as an integer"):
        read_plaintext_2(bytes.fromhex(INVALID["4.1.7"]["hex"]))


def test_a_mac_of_the_wrong_length_is_rejected() -> None:
    data = bytes.fromhex(INVALID["4.2.5"]["hex"])
    with pytest.raises(UnknownCredential):  # by its kid, which we do not take
        read_plaintext_2(data)
    by_value = data[:1] + people.member(people.BOB).id_cred + data[2:]
    with pytest.raises(Invalid, match="no signature of 64 bytes"):
        read_plaintext_2(by_value)


def test_every_case_of_the_rfc_is_looked_at() -> None:
    elsewhere = {"4.1.5", "4.1.6", "4.1.7", "4.2.2", "4.2.3", "4.2.4", "4.2.5"}
    assert elsewhere | set(FOR_US) == set(INVALID)
