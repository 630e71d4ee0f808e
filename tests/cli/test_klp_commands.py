"""klp seal, inspect and verify."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kos_edge.klp.pack import show
from tests.cli.conftest import CommandLine

MESH = "ab" * 32
MESSAGE = json.dumps({"topic": "a.b", "type": "data", "body": {"content": 1}})


def sealed(kos_edge: CommandLine, tmp_path: Path, stdin: str = MESSAGE) -> dict[str, str]:
    key = str(tmp_path / "tool.key")
    value: dict[str, str] = kos_edge("klp", "seal", "--key", key, "--mesh", MESH, "--json", stdin=stdin).value
    return value


def test_what_is_sealed_verifies_and_says_what_it_is(kos_edge: CommandLine, tmp_path: Path) -> None:
    pack = sealed(kos_edge, tmp_path, f"{MESSAGE}\n{MESSAGE}\n")
    words = ("klp", "verify", "-", "--public", pack["public"], "--mesh", MESH)
    assert kos_edge(*words, stdin=pack["hex"]).out == "valid\n"
    assert kos_edge(*words, stdin=bytes.fromhex(pack["hex"])).code == 0
    value = kos_edge(*words, "--json", stdin=pack["hex"]).value
    assert value["valid"] is True
    assert [message["body"] for message in value["messages"]] == [{"content": 1}] * 2
    assert kos_edge("klp", "inspect", "-", stdin=pack["hex"]).value["pack"]["count"] == 2


def test_a_message_shown_alone_verifies(kos_edge: CommandLine, tmp_path: Path) -> None:
    pack = sealed(kos_edge, tmp_path, f"[{MESSAGE}, {MESSAGE}]")
    alone = show(bytes.fromhex(pack["hex"]), 2).hex()
    words = ("--public", pack["public"], "--mesh", MESH)
    assert kos_edge("klp", "verify", "-", *words, stdin=alone).out == "valid\n"
    assert kos_edge("klp", "inspect", "-", stdin=alone).value["messages"][0]["seq"] == 2


def test_any_other_key_mesh_or_byte_is_not_valid(kos_edge: CommandLine, tmp_path: Path) -> None:
    pack = sealed(kos_edge, tmp_path)
    for public, mesh, data in (
        ("00" * 32, MESH, pack["hex"]),
        (pack["public"], "00" * 32, pack["hex"]),
        (pack["public"], MESH, pack["hex"][:-2] + "02"),
        (pack["public"], MESH, "zz"),
        (pack["public"], MESH, ""),
    ):
        done = kos_edge("klp", "verify", "-", "--public", public, "--mesh", mesh, stdin=data)
        assert done.code == 65
        assert done.out.startswith("not valid: ")


def test_the_bytes_go_to_a_file_when_asked(kos_edge: CommandLine, tmp_path: Path) -> None:
    file, key = tmp_path / "pack", str(tmp_path / "tool.key")
    words = ("--key", key, "--mesh", MESH, "--out", str(file))
    place = ("--epoch", "0" * 15 + "1", "--first", "9", "--prev", "cd" * 16)
    done = kos_edge("klp", "seal", *words, *place, stdin=MESSAGE)
    assert done.out == f"{file.stat().st_size} bytes\n"
    header = kos_edge("klp", "inspect", str(file)).value["pack"]
    assert (header["epoch"], header["first"], header["prev"]) == ("0000000000000001", 9, "cd" * 16)


def test_vectors_are_judged_by_what_they_say_of_themselves(kos_edge: CommandLine, tmp_path: Path) -> None:
    pack = sealed(kos_edge, tmp_path)
    good = {"name": "good", "kind": "pack", "valid": True, "mesh": MESH, **pack}
    bad = {**good, "name": "bad", "valid": False, "mesh": "00" * 32}
    file = tmp_path / "vectors.json"
    file.write_text(json.dumps([good, bad]))
    done = kos_edge("klp", "verify", str(file))
    assert done.code == 0
    assert done.out.splitlines()[0] == "agrees  good: valid"
    assert done.out.splitlines()[1].startswith("agrees  bad: not valid: ")
    file.write_text(json.dumps({**bad, "valid": True}))
    done = kos_edge("klp", "verify", str(file), "--json")
    assert done.code == 65
    assert done.value["agrees"] is False
    assert done.value["vectors"][0]["valid"] is False


@pytest.mark.parametrize(
    ("stdin", "why"),
    [
        ("", "there is no message to seal"),
        ("{", "not JSON"),
        ('{"topic": "a.b"}', "a message without"),
        ("3", "a message is an object"),
        ('{"topic": "a b", "type": "data", "body": {"content": 1}}', "is not a topic"),
    ],
)
def test_what_is_no_message_is_told(kos_edge: CommandLine, tmp_path: Path, stdin: str, why: str) -> None:
    key = tmp_path / "tool.key"
    done = kos_edge("klp", "seal", "--key", str(key), "--mesh", MESH, stdin=stdin)
    assert done.code == 65
    assert why in done.err


def test_what_is_no_pack_or_hex_is_told(kos_edge: CommandLine) -> None:
    assert kos_edge("klp", "inspect", "-", stdin="00").code == 65
    assert kos_edge("klp", "inspect", "/nowhere").code == 2
    assert kos_edge("klp", "verify", "-", stdin="00").code == 2
    assert kos_edge("klp", "verify", "-", "--public", "zz", "--mesh", MESH, stdin="00").code == 2
