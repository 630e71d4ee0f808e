"""What a station and a hub say to each other, against its vectors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from kos_edge.control.remote import decode_ask, decode_part, encode_ask, encode_part, read_line
from kos_edge.errors import Invalid
from tests.vectors.generate_admin import FILE, vectors


def test_the_vectors_are_what_their_program_writes() -> None:
    assert json.loads(FILE.read_text()) == vectors()


@pytest.mark.parametrize("vector", vectors(), ids=lambda vector: str(vector["name"]))
def test_a_vector_is_taken_as_it_says(vector: dict[str, Any]) -> None:
    data = bytes.fromhex(vector["hex"])
    if not vector["valid"]:
        with pytest.raises(Invalid):
            decode_ask(data) if vector["cddl"] == "ask" else decode_part(data)
    elif vector["cddl"] == "ask":
        ask = decode_ask(data)
        assert encode_ask(ask) == data
        assert ask.at or read_line(ask.line) == ("revoke", {"who": "shed", "reason": "sold"})
    else:
        assert encode_part(decode_part(data)) == data


def test_the_worked_example_of_the_document_is_a_vector() -> None:
    document = (Path(__file__).parents[2] / "docs" / "protocol" / "admin.md").read_text()
    shown = document.partition("is the vector `ask`:\n")[2].partition("\nThe vectors")[0]
    (ask,) = (vector["hex"] for vector in vectors() if vector["name"] == "ask")
    assert "".join(shown.split()) == ask
