"""Who belongs to the mesh, from the command line."""

from __future__ import annotations

import pytest

from tests.cli.conftest import CommandLine, Daemon
from tests.control.node import KID, LATER, MESH, PUBLIC


def test_an_invitation_is_its_token_or_its_json(kos_edge: CommandLine, daemon: Daemon) -> None:
    assert kos_edge("invite", "--uses", "3", "--for", "30m").out == "kos1-abcdef\n"
    assert daemon.node.asked[-1] == ("invite", {"uses": 3, "seconds": 1800.0})
    value = kos_edge("invite", "--json").value
    assert value["token"] == "kos1-abcdef"
    assert value["expires_at"] == LATER
    assert daemon.node.asked[-1] == ("invite", {"uses": 1, "seconds": 3600.0})


def test_an_invitation_can_be_drawn_for_a_camera(kos_edge: CommandLine, daemon: Daemon) -> None:
    done = kos_edge("invite", "--qr")
    assert "█" in done.out
    assert done.out.endswith("kos-edge join kos1-abcdef\n")


@pytest.mark.parametrize("words", [("--uses", "0"), ("--for", "5"), ("--for", "soon"), ("--uses", "x")])
def test_a_senseless_invitation_is_a_mistake_of_usage(kos_edge: CommandLine, words: tuple[str, ...]) -> None:
    done = kos_edge("invite", *words)
    assert done.code == 2
    assert done.err.startswith("kos-edge: invalid value for '--")
    assert "\n  next: kos-edge invite --help\n" in done.err


def test_joining_says_how_it_went(kos_edge: CommandLine, daemon: Daemon) -> None:
    done = kos_edge("join", "kos1-abcdef")
    assert (done.code, done.out) == (0, "joined as shed (edge); mesh efefefef\n")
    daemon.node.join_outcome = "waiting"
    done = kos_edge("join", "kos1-abcdef")
    assert "no hub could be reached (no hub answered); the wish is kept" in done.out
    daemon.node.join_outcome = "pending"
    assert "lusab-babad-gutih-tugad-mobil" in kos_edge("join", "--mesh", MESH).out
    assert daemon.node.asked[-1] == ("join", {"token": None, "mesh": MESH})
    assert kos_edge("join", "--mesh", MESH, "--json").value["outcome"] == "pending"


def test_joining_needs_a_token_or_a_mesh_and_not_both(kos_edge: CommandLine, daemon: Daemon) -> None:
    for words in ((), ("kos1-abcdef", "--mesh", MESH)):
        done = kos_edge("join", *words)
        assert done.code == 2
        assert "one of TOKEN and --mesh HASH is needed" in done.err


def test_a_refusal_is_one_line_and_the_next_step(kos_edge: CommandLine, daemon: Daemon) -> None:
    done = kos_edge("join", "kos1-expired")
    assert done.code == 77
    assert done.out == ""
    assert done.err == (
        "kos-edge: the invitation has expired\n  next: ask at the hub for another: kos-edge invite\n"
    )


def test_an_error_in_json_is_one_object_on_standard_error(kos_edge: CommandLine, daemon: Daemon) -> None:
    done = kos_edge("join", "kos1-expired", "--json")
    assert (done.code, done.out) == (77, "")
    assert done.error == {
        "kind": "refused",
        "message": "the invitation has expired",
        "hint": "ask at the hub for another: kos-edge invite",
        "exit_code": 77,
    }


def test_a_key_is_allowed_with_role_and_name(kos_edge: CommandLine, daemon: Daemon) -> None:
    assert kos_edge("allow", PUBLIC, "--role", "relay", "--name", "attic").out == "attic may join as relay\n"
    assert daemon.node.asked[-1] == ("allow", {"public": PUBLIC, "role": "relay", "name": "attic"})


def test_newcomers_are_shown_with_their_words_and_let_in_or_sent_away(
    kos_edge: CommandLine, daemon: Daemon
) -> None:
    header, row = kos_edge("pending").out.splitlines()
    assert header.split() == ["NAME", "ROLE", "KID", "FROM", "WAITING", "WORDS"]
    assert row.startswith("porch  edge  abababababab  10.0.0.9:40000")
    assert row.endswith("lusab-babad-gutih-tugad-mobil")
    assert kos_edge("pending", "--json").value[0]["kid"] == KID
    assert kos_edge("admit", "porch", "--name", "veranda").out == "veranda is a member, edge\n"
    assert kos_edge("admit", "cellar").code == 77
    assert kos_edge("reject", "porch").out == "porch was sent away\n"


def test_members_are_revoked_renamed_and_a_mesh_is_left(kos_edge: CommandLine, daemon: Daemon) -> None:
    assert kos_edge("revoke", "porch", "--reason", "stolen").out == "porch is revoked (number 1)\n"
    assert kos_edge("rename", "porch", "veranda").out == "abababababab is called veranda\n"
    assert kos_edge("leave").out == "left the mesh efefefef\n"
    assert kos_edge("leave", "--json").value == {"mesh": MESH, "set_aside": 0}
    daemon.node.set_aside = 306
    _, kept = kos_edge("leave").out.splitlines()
    assert kept == (
        "306 messages that it did not have yet are kept as dead letters; to send them to the next mesh: "
        f"kos-edge --state {kos_edge.state} queue retry --all"
    )
