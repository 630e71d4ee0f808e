from __future__ import annotations

import random

import pytest

from kos_edge.errors import Invalid
from tests.fuzz.engine import Campaign, Target, targets, vector_bytes

SHARE = 1_000
"""Inputs a target gets in every test run beside the seeds; `make fuzz` has no end to them."""


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_nothing_but_invalid_escapes_a_decoder(target: Target) -> None:
    finding = Campaign(target, random.Random(target.name)).run(len(target.seeds) + SHARE)
    assert finding is None, f"{finding.what}\n{finding.data.hex()}"


def test_the_vectors_are_what_fuzzing_begins_with() -> None:
    assert bytes.fromhex("c0a940001234e6b3c0") in vector_bytes()


def test_a_decoder_that_breaks_is_found_and_the_input_made_small() -> None:
    def fragile(data: bytes) -> None:
        if b"\xff" in data[1:]:
            raise IndexError("one too far")
        raise Invalid("no such thing")

    campaign = Campaign(Target("fragile", fragile, (bytes(50),)), random.Random(1))
    finding = campaign.run(10_000)
    assert finding is not None
    assert finding.data == b"\x00\xff" or len(finding.data) == 2
    assert "one too far" in finding.what
    assert campaign.tally.rejected > 0


def test_fuzzing_comes_through_one_check_after_the_other() -> None:
    """Each check names its reason; what passes one is kept to be changed further."""

    def deep(data: bytes) -> None:
        for at, wanted in enumerate((0x5F, 0xA0, 0xFB, 0xC0)):
            if data[at : at + 1] != bytes([wanted]):
                raise Invalid(f"not the {'abcd'[at]} that it should be")
        raise IndexError("all the way")

    finding = Campaign(Target("deep", deep, (b"",)), random.Random(1)).run(20_000)
    assert finding is not None
    assert finding.data == bytes.fromhex("5fa0fbc0")
