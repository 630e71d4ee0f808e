"""The vault of a state directory: where its key comes from, who gets what, and what a cut in the middle leaves."""

from __future__ import annotations

from pathlib import Path

import pytest

from kos_edge.errors import Invalid, Refused, Unavailable
from kos_edge.node.config import Config, parse_config
from kos_edge.node.vaulting import CREDENTIAL, NodeVault
from kos_edge.vault.lock import Kind

PASSPHRASE = "correct horse battery"
NOW = 1_800_000_000
BRIDGE = parse_config(b'[secret."mqtt.password"]\nagents = ["bridge"]\n')


def vault(state: Path, config: Config | None = None, environment: dict[str, str] | None = None) -> NodeVault:
    return NodeVault(state, config or Config(), lambda: float(NOW), environment=environment or {})


def filled(state: Path) -> NodeVault:
    made = vault(state)
    made.put("mqtt.password", b"hunter2")
    return made


def test_the_first_secret_makes_a_vault_and_a_key_that_only_the_owner_may_read(tmp_path: Path) -> None:
    assert not vault(tmp_path).exists
    filled(tmp_path)
    assert (tmp_path / "vault.key").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "vault").stat().st_mode & 0o777 == 0o600
    again = vault(tmp_path)
    again.check()
    assert again.trouble is None
    assert again.opened().get("mqtt.password") == b"hunter2"
    assert again.opened().names() == {"mqtt.password": NOW}


def test_an_agent_gets_what_the_configuration_names_it_for_and_nothing_else(tmp_path: Path) -> None:
    made = vault(tmp_path, BRIDGE)
    made.put("mqtt.password", b"hunter2")
    made.put("wifi", b"12345678")
    assert made.for_agent("bridge", "mqtt.password") == b"hunter2"
    for agent, name in (("other", "mqtt.password"), ("bridge", "wifi"), ("bridge", "none")):
        with pytest.raises(Refused, match="may not have"):
            made.for_agent(agent, name)


def test_without_a_vault_or_its_key_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="no vault yet"):
        vault(tmp_path, BRIDGE).for_agent("bridge", "mqtt.password")
    filled(tmp_path)
    (tmp_path / "vault.key").unlink()
    shut = vault(tmp_path)
    shut.check()
    assert "vault.key is missing" in (shut.trouble or "")


def test_a_key_that_others_may_read_opens_nothing(tmp_path: Path) -> None:
    filled(tmp_path)
    (tmp_path / "vault.key").chmod(0o644)
    with pytest.raises(Refused, match="others may read"):
        vault(tmp_path).opened()


def test_a_damaged_file_falls_back_to_the_one_before_and_says_so(tmp_path: Path) -> None:
    filled(tmp_path).put("wifi", b"12345678")
    file = tmp_path / "vault"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    found = vault(tmp_path)
    assert list(found.opened().names()) == ["mqtt.password"]
    assert "the one before is used" in (found.trouble or "")
    (tmp_path / "vault.previous").unlink()
    with pytest.raises(Invalid, match="not as it was written"):
        vault(tmp_path).opened()


def test_what_was_removed_is_in_neither_generation(tmp_path: Path) -> None:
    filled(tmp_path).put("wifi", b"12345678")
    vault(tmp_path).remove("wifi")
    (tmp_path / "vault").unlink()
    assert list(vault(tmp_path).opened().names()) == ["mqtt.password"]


def test_after_a_rotation_the_old_key_file_opens_nothing_and_is_gone(tmp_path: Path) -> None:
    filled(tmp_path)
    old = (tmp_path / "vault.key").read_bytes()
    vault(tmp_path).rotate(to=None, new_passphrase=None)
    new = vault(tmp_path)
    assert new.opened().get("mqtt.password") == b"hunter2"
    kept = [path.read_bytes() for path in tmp_path.iterdir() if path.name.startswith("vault.key")]
    assert len(kept) == 1
    assert kept[0] != old
    (tmp_path / "vault.key").write_bytes(old)
    with pytest.raises(Refused, match="does not open"):
        vault(tmp_path).opened()


def test_a_rotation_that_was_cut_after_the_new_key_is_opened_by_the_old_one(tmp_path: Path) -> None:
    made = filled(tmp_path)
    made._new_key_file()
    again = vault(tmp_path)
    assert again.opened().get("mqtt.password") == b"hunter2"
    again.rotate(to=None, new_passphrase=None)
    assert vault(tmp_path).opened().get("mqtt.password") == b"hunter2"


def test_a_rotation_that_the_disk_refuses_leaves_what_there_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = filled(tmp_path)

    def full(vault: object) -> None:
        raise Unavailable("no space left on device")

    monkeypatch.setattr(made._file, "write", full)
    with pytest.raises(Unavailable):
        made.rotate(to=None, new_passphrase=None)
    assert made.opened().get("mqtt.password") == b"hunter2"
    assert vault(tmp_path).opened().get("mqtt.password") == b"hunter2"


def test_a_credential_of_systemd_comes_before_a_key_file(tmp_path: Path) -> None:
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / CREDENTIAL).write_bytes(bytes(range(32)))
    environment = {"CREDENTIALS_DIRECTORY": str(credentials)}
    made = vault(tmp_path, environment=environment)
    made.put("wifi", b"12345678")
    assert made.opened().lock.kind is Kind.CREDENTIAL
    assert not (tmp_path / "vault.key").exists()
    assert vault(tmp_path, environment=environment).opened().get("wifi") == b"12345678"
    with pytest.raises(Unavailable, match="credential"):
        vault(tmp_path).opened()


def test_with_a_passphrase_it_is_shut_until_somebody_opens_it_or_a_file_does(tmp_path: Path) -> None:
    made = vault(tmp_path)
    made.put("wifi", b"12345678", PASSPHRASE)
    shut = vault(tmp_path)
    with pytest.raises(Unavailable, match="opens with a passphrase"):
        shut.opened()
    with pytest.raises(Refused, match="does not open"):
        shut.opened("wrong horse battery")
    assert shut.opened(PASSPHRASE).get("wifi") == b"12345678"
    assert shut.opened().get("wifi") == b"12345678"
    file = tmp_path / "phrase"
    file.write_text(f"{PASSPHRASE}\n")
    file.chmod(0o600)
    config = parse_config(f'[vault]\npassphrase-file = "{file}"\n'.encode())
    assert vault(tmp_path, config).opened().get("wifi") == b"12345678"


def test_a_vault_moves_from_one_lock_to_another_and_leaves_no_key_behind(tmp_path: Path) -> None:
    filled(tmp_path).rotate(to=Kind.PASSPHRASE, new_passphrase=PASSPHRASE)
    assert not list(tmp_path.glob("vault.key*"))
    made = vault(tmp_path)
    made.rotate(PASSPHRASE, to=Kind.FILE, new_passphrase=None)
    assert vault(tmp_path).opened().get("mqtt.password") == b"hunter2"


def test_an_exported_vault_brings_its_secrets_and_ours_stay_unless_told(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    one, other = filled(tmp_path / "a"), vault(tmp_path / "b")
    one.put("wifi", b"12345678")
    one.put("same", b"same")
    other.put("wifi", b"ours")
    other.put("same", b"same")
    copy = one.export(PASSPHRASE)
    assert b"hunter2" not in copy
    with pytest.raises(Refused):
        other.bring(copy, "wrong horse battery", replace=False)
    outcome = other.bring(copy, PASSPHRASE, replace=False)
    assert outcome == {"mqtt.password": "added", "same": "same", "wifi": "kept"}
    assert vault(tmp_path / "b").opened().get("wifi") == b"ours"
    assert other.bring(copy, PASSPHRASE, replace=True)["wifi"] == "replaced"
    assert vault(tmp_path / "b").opened().get("wifi") == b"12345678"
    with pytest.raises(Invalid, match="with a key"):
        other.bring((tmp_path / "a" / "vault").read_bytes(), PASSPHRASE, replace=False)


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ('[secret.wifi]\nagents = "bridge"\n', "agents must be a list"),
        ("[secret.wifi]\nagent = []\n", "no key 'agent'"),
        ("[secret.mqtt.password]\nagents = []\n", "must be a table"),
        ('[secret."A"]\n', "no name of a secret"),
        ('[vault]\nkey = "x"\n', "no key 'key'"),
    ],
)
def test_a_mistake_in_the_configuration_has_its_line(text: str, wrong: str) -> None:
    with pytest.raises(Invalid, match=wrong):
        parse_config(text.encode())
