"""What a stranger makes of a pack, by docs/protocol/klp.md alone: verified, and with every reading written out."""

from hashlib import sha256
from typing import Any

from tests.stranger.client import decode, encode, need, verify

DATA, SENML = 2, 112  # type of what readings mean; their schema


def unseal(pack: bytes, public: bytes, mesh: bytes) -> list[tuple[str, int, Any]]:
    """Topic, type and body of each message of a verified pack of which nothing was taken out."""
    (protected, _, header, signature), messages = decode(pack)
    external_aad = mesh + len(messages).to_bytes(2, "big") + merkle_root(messages)
    verify(public, signature, encode(["Signature1", protected, external_aad, header]), "pack")
    return [written_out(decode(header)[10], decode(message)) for message in messages]


def merkle_root(messages: list[bytes]) -> bytes:
    if len(messages) == 1:
        return sha256(b"\0" + messages[0]).digest()
    half = 1 << (len(messages) - 1).bit_length() - 1
    return sha256(b"\1" + merkle_root(messages[:half]) + merkle_root(messages[half:])).digest()


def written_out(table: list[Any], message: list[Any]) -> tuple[str, int, Any]:
    """Topic, type and body; a reading in the form of its topic with its names and units (section 6.1)."""
    entry, kind, values = table[message[0]], message[1], message[3:]
    need(isinstance(entry, str) == bool(kind), "a form is for readings, and for nothing else")
    if kind:
        return entry, kind, values[0]
    topic, *said = entry
    fields = list(zip(said[::2], said[1::2], strict=True)) if len(said) > 1 else [(None, said[0])]
    labels = {int: 2, float: 2, str: 3, bool: 4, bytes: 8}
    records = [
        {
            label: said
            for label, said in ((0, name), (1, unit), (labels[type(value)], value))
            if said is not None
        }
        for (name, unit), value in zip(fields, values[: len(fields)], strict=True)
    ]
    return topic, DATA, {1: SENML, 2: records}
