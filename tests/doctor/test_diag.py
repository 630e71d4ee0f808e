"""A diagnosis says what helps and keeps what is secret; whoever gets it can tell whose it is."""

from __future__ import annotations

import base64
import gzip
import io
import json
import sqlite3
import tarfile
from pathlib import Path

import pytest

from kos_edge.doctor import diagnosis
from kos_edge.doctor.bundle import FOLDER, pack, verify
from kos_edge.doctor.diagnosis import collect
from kos_edge.doctor.patient import Patient
from kos_edge.doctor.scrub import LEFT_OUT, Scrubber
from kos_edge.errors import Invalid, Unavailable
from kos_edge.klp.identity import KeyPair
from kos_edge.node.config_sources import load_config
from kos_edge.node.initialize import initialize
from kos_edge.node.keyfile import read_key
from kos_edge.node.statedir import StateDir

TOKEN = "a-token-that-nobody-may-read"
VAULT_KEY = bytes(range(1, 33))
SECRETS = (
    "hunter2-of-the-broker",
    "correct horse battery staple",
    "kos1-0123456789abcdefghjkmnpqrstvwxyz0123456789",
)
AGENT = "the source of an agent with a trade secret"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    path = tmp_path / "state"
    initialize(path, "edge", "shed")
    (path / "config.toml").write_text('[monitor]\ntoken-file = "http.token"\n')
    (path / "http.token").write_text(f"{TOKEN}\n")
    (path / "vault.key").write_bytes(VAULT_KEY)
    (path / "vault").write_bytes(SECRETS[0].encode())
    (path / "agent.py").write_text(f"# {AGENT}\n")
    return path


def patient(state: Path) -> Patient:
    found = Patient(state, unreachable=Unavailable("no daemon is running"))
    found.config = load_config(StateDir(state).config_file)
    return found


def test_no_secret_is_in_it_in_any_form(state: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seed = read_key(state / "node.key").seed
    log = "\n".join(
        [
            f"key {seed.hex()} and {base64.b64encode(seed).decode()} and {base64.urlsafe_b64encode(seed).decode()}",
            f"vault {VAULT_KEY.hex()} {base64.b64encode(VAULT_KEY).decode()}",
            f"token {TOKEN}",
            f"mqtt password={SECRETS[0]}",
            f'passphrase: "{SECRETS[1]}"',
            f"kos-edge join {SECRETS[2]}",
            "link 12:34:56:78:9a:bc is up",
            f"http://user:{SECRETS[0]}@10.0.0.5/",
        ]
    )
    monkeypatch.setattr(diagnosis, "_log", lambda patient: log)
    files, key = collect(patient(state))
    everything = b"\n".join([*files.values(), gzip.decompress(pack(files, key, 0))])
    for secret in (
        seed,
        seed.hex().encode(),
        base64.b64encode(seed),
        base64.urlsafe_b64encode(seed),
        VAULT_KEY,
        VAULT_KEY.hex().encode(),
        base64.b64encode(VAULT_KEY),
        TOKEN.encode(),
        *(each.encode() for each in SECRETS),
        AGENT.encode(),
        b"78:9a:bc",
    ):
        assert secret not in everything, secret
    assert b"12:34:56" in files["log.txt"]


def test_it_says_what_helps_and_what_could_not_be_had(state: Path) -> None:
    files, key = collect(patient(state))
    assert json.loads(files["store.json"])["tables"]["pack"] == 0
    assert json.loads(files["config.json"])["monitor"]["token-file"] == "http.token"
    assert {each["name"] for each in json.loads(files["state.json"])} >= {"kos.db", "node.key", "vault"}
    missing = json.loads(files["missing.json"])
    assert missing["status.json"] == "no daemon is running"
    assert verify(pack(files, key, 1_800_000_000)).public == read_key(state / "node.key").public.hex()


def test_a_damaged_store_and_a_damaged_key_stop_nothing(state: Path) -> None:
    (state / "kos.db").write_bytes(b"not a database at all" * 100)
    (state / "node.key").write_bytes(b"torn")
    (state / "node.key.copy").unlink(missing_ok=True)
    files, key = collect(patient(state))
    missing = json.loads(files["missing.json"])
    assert "store.json" in missing
    assert "signature" in missing
    assert key is None
    with pytest.raises(Invalid, match="not signed"):
        verify(pack(files, key, None))


def test_what_was_changed_added_or_taken_away_is_found() -> None:
    key = KeyPair.from_seed(bytes(32))
    good = pack({"a.json": b"1", "b.json": b"2"}, key, 0)
    assert verify(good).files == ("a.json", "b.json")
    manifest = _files(good)["manifest.cose"]
    for files in (
        {"a.json": b"1", "b.json": b"3"},
        {"a.json": b"1"},
        {"a.json": b"1", "b.json": b"2", "c.json": b"4"},
    ):
        with pytest.raises(Invalid, match="another"):
            verify(pack({"manifest.cose": manifest, **files}, None, 0))
    for data in (b"", b"\x1f\x8b", good[: len(good) // 2], b"x" * 100):
        with pytest.raises(Invalid):
            verify(data)


def test_names_that_are_private_and_texts_that_look_so_are_left_out() -> None:
    scrubber = Scrubber([b"known secret"])
    report = {
        "agents": [{"last_error": "21.5 is too hot"}],
        "token": "x",
        "token-file": "path",
        "n": 1,
        "ok": True,
    }
    assert scrubber.value(report) == {
        "agents": [{"last_error": LEFT_OUT}],
        "token": LEFT_OUT,
        "token-file": "path",
        "n": 1,
        "ok": True,
    }
    assert scrubber.text("it is a known secret") == f"it is a {LEFT_OUT}"
    assert scrubber.text("21.5 degrees at 10.0.0.5:5683") == "21.5 degrees at 10.0.0.5:5683"


@pytest.mark.parametrize(
    "text",
    [
        "GET /readings Authorization: Bearer {}",
        "header 'bearer {}' was refused",
        "exporter: https://{}@collector.example/v1/traces",
        "exporter: https://user:{}@collector.example/v1/traces",
        "https://broker.example/?api_key={}",
        "{'Authorization': 'Basic {}'}",
    ],
)
def test_tokens_are_left_out_wherever_a_library_writes_them(text: str) -> None:
    token = "ghp-0123456789abcdef"
    assert token not in Scrubber([]).text(text.replace("{}", token))


def test_a_json_web_token_is_left_out_where_nothing_says_what_it_is() -> None:
    token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzaGVkIn0.c2lnbmF0dXJl"
    assert Scrubber([]).text(f"401 for {token}") == f"401 for {LEFT_OUT}"


def _files(data: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=io.BytesIO(data), mode="r:gz") as archive:
        found = {}
        for member in archive.getmembers():
            content = archive.extractfile(member)
            assert content is not None
            found[member.name.removeprefix(f"{FOLDER}/")] = content.read()
        return found


def test_the_store_is_only_read(state: Path) -> None:
    before = (state / "kos.db").read_bytes()
    collect(patient(state))
    assert (state / "kos.db").read_bytes() == before
    with sqlite3.connect(state / "kos.db") as store:
        assert store.execute("PRAGMA quick_check").fetchone() == ("ok",)


def test_a_diagnosis_that_unpacks_to_more_than_any_is_refused_before_it_fills_the_memory() -> None:
    header = tarfile.TarInfo("pax")
    header.type, header.size = tarfile.XHDTYPE, 1 << 30
    bomb = gzip.compress(header.tobuf(tarfile.USTAR_FORMAT) + bytes(64 << 20))
    assert len(bomb) < 100_000
    with pytest.raises(Invalid, match="longer than any diagnosis"):
        verify(bomb)
