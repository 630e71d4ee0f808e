"""`kos-edge vault` on a real state, with no daemon."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import CommandLine

PASSPHRASE = "correct horse battery"


@pytest.fixture
def node(tmp_path: Path) -> CommandLine:
    node = CommandLine(tmp_path / "node")
    assert node("init", "--role", "edge", "--name", "shed").code == 0
    return node


@pytest.fixture
def phrase(tmp_path: Path) -> str:
    path = tmp_path / "phrase"
    path.write_text(f"{PASSPHRASE}\n")
    return str(path)


def test_a_secret_goes_in_from_standard_input_or_a_file_and_comes_out_as_it_was(
    node: CommandLine, tmp_path: Path
) -> None:
    done = node("vault", "put", "mqtt.password", stdin="hunter2\n")
    assert "a key file" in done.out
    assert '[secret."mqtt.password"]' in done.out
    assert node("vault", "get", "mqtt.password").out == "hunter2"
    binary = tmp_path / "key.der"
    binary.write_bytes(b"\0\n\xff")
    node("vault", "put", "tls.key", "--file", str(binary))
    assert node("vault", "get", "tls.key", "--json").value == {"name": "tls.key", "base64": "AAr/"}


def test_the_list_names_secrets_and_agents_and_never_what_they_are(node: CommandLine) -> None:
    node("vault", "put", "wifi", stdin="12345678")
    (node.state / "config.toml").write_text('[secret.wifi]\nagents = ["bridge"]\n')
    done = node("vault", "list")
    assert "wifi" in done.out
    assert "bridge" in done.out
    report = node("vault", "list", "--json")
    assert "12345678" not in done.out + report.out
    (secret,) = report.value["secrets"]
    assert (secret["name"], secret["bytes"], secret["agents"]) == ("wifi", 8, ["bridge"])
    assert node("vault", "remove", "wifi").code == 0
    assert node("vault", "list").out.strip() == "the vault is empty"


def test_verify_names_what_is_damaged(node: CommandLine) -> None:
    node("vault", "put", "wifi", stdin="12345678")
    assert "1 secrets, all whole" in node("vault", "verify").out
    file = node.state / "vault"
    file.write_bytes(file.read_bytes()[:-1])
    done = node("vault", "verify")
    assert done.code == 65
    assert str(file) in done.err
    assert "the vault" in node("status").out


def test_keys_are_rotated_and_a_vault_moves_to_another_node(
    node: CommandLine, tmp_path: Path, phrase: str
) -> None:
    node("vault", "put", "wifi", stdin="12345678")
    assert "a key file" in node("vault", "rotate").out
    done = node("vault", "rotate", "--lock", "passphrase", "--new-passphrase-file", phrase)
    assert "a passphrase" in done.out
    shut = node("vault", "get", "wifi")
    assert shut.code == 69
    assert "--passphrase-file" in shut.err
    assert node("vault", "get", "wifi", "--passphrase-file", phrase).out == "12345678"
    copy = tmp_path / "copy"
    words = ("--export-passphrase-file", phrase)
    done = node("vault", "export", str(copy), *words, "--passphrase-file", phrase)
    assert done.out.startswith("1 secrets are in")
    assert node("vault", "export", str(copy), *words).code == 65
    other = CommandLine(tmp_path / "other")
    other("init", "--role", "edge")
    assert other("vault", "import", str(copy), *words).out == "wifi: added\n"
    assert other("vault", "get", "wifi").out == "12345678"


@pytest.mark.parametrize(
    ("words", "code", "named"),
    [
        (("get", "wifi"), 69, "no vault yet"),
        (("put", "A B"), 65, "'A B'"),
        (("put", "empty"), 65, "1 to 65,536 bytes"),
        (("import", "nowhere"), 69, "nowhere"),
        (("open",), 69, "needs one"),
    ],
)
def test_bad_input_is_one_line_and_the_next_step(
    node: CommandLine, phrase: str, words: tuple[str, ...], code: int, named: str
) -> None:
    more = {"import": ("--export-passphrase-file", phrase), "open": ("--passphrase-file", phrase)}
    done = node("vault", *words, *more.get(words[0], ()))
    assert (done.code, done.out) == (code, "")
    assert named in done.err
    assert len(done.err.splitlines()) <= 2
