"""A hub as anybody runs it, and beside it the client of somebody who has only read docs/protocol."""

import ast
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from kos_edge.testing.ports import free_port
from tests.stranger import client, reader

CLIENT = Path(client.__file__)
ROOT = CLIENT.parents[2]
DOCS = ROOT / "docs" / "protocol"


class Hub:
    def __init__(self, state: Path) -> None:
        self.state = state
        self.address = f"127.0.0.1:{free_port()}"
        self.mesh = json.loads(self.ask("init", "--role", "hub", "--name", "hub").stdout)["mesh"]
        self.log = (state.parent / "hub.log").open("w")
        run = self.command("run", "--listen", self.address, "--interface", "lo")
        self.process = subprocess.Popen(run, env=self.environment(), stdout=self.log, stderr=self.log)
        deadline = time.monotonic() + 30
        while not json.loads(self.ask("status").stdout)["listening"]:
            assert self.process.poll() is None, (state.parent / "hub.log").read_text()
            assert time.monotonic() < deadline, "the hub does not start"
            time.sleep(0.1)

    def environment(self) -> dict[str, str]:
        return os.environ | {"PYTHONPATH": str(ROOT)}

    def command(self, *words: str) -> list[str]:
        return [sys.executable, "-m", "kos_edge.cli", "--state", str(self.state), "--json", *words]

    def ask(self, *words: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            self.command(*words), env=self.environment(), capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done

    def tail(self, topic: str, count: int) -> list[dict[str, Any]]:
        lines = self.ask("tail", topic, "--from-start", "--count", str(count), "--timeout", "20").stdout
        return [json.loads(line) for line in lines.splitlines()]

    def stop(self) -> None:
        self.process.send_signal(signal.SIGINT)
        try:
            self.process.wait(20)
        finally:
            self.process.kill()
            self.log.close()


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    hub = Hub(tmp_path_factory.mktemp("stranger") / "hub")
    yield hub
    hub.stop()


@pytest.fixture
def coap(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[client.Coap]]:
    """The script leaves its sockets to the end of its process; in ours they have to be closed."""
    made = []

    class Closed(client.Coap):
        def __init__(self, host: str, port: int) -> None:
            super().__init__(host, port)
            made.append(self.socket)

    monkeypatch.setattr(client, "Coap", Closed)
    yield Closed
    for each in made:
        each.close()


class Stranger:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.key = home / "stranger.key"
        self.public = json.loads(self.run().stdout)["public"]

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        # Isolated (-I): neither our code nor anything else beside the script can be imported.
        command = [sys.executable, "-I", str(CLIENT), "--key", str(self.key), *words]
        return subprocess.run(command, cwd=self.home, capture_output=True, text=True, timeout=90)

    def deliver(self, hub: Hub, *words: str) -> dict[str, Any]:
        done = self.run("--hub", hub.address, "--mesh", hub.mesh, *words)
        assert done.returncode == 0, done.stderr
        (line,) = done.stdout.splitlines()
        return dict(json.loads(line))


@pytest.mark.e2e
def test_a_stranger_joins_delivers_and_goes_on(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, coap: type[client.Coap]
) -> None:
    stranger = Stranger(tmp_path)
    hub.ask("allow", stranger.public, "--name", "thermometer")

    first = stranger.deliver(hub, "--topic", "air.temperature", "--value", "21.5", "--unit", "Cel")
    assert first["joined"] is True
    assert first["name"] == "thermometer"
    assert first["receipt"] == {"held": 1, "reach": 2}
    assert first["again"] == first["receipt"]
    (seen,) = hub.tail("air.temperature", 1)
    assert (seen["id"], seen["name"], seen["body"], seen["unit"]) == (first["id"], "thermometer", 21.5, "Cel")

    # The hub takes the second, and the stranger dies before it reads the receipt.
    deliver = client.deliver

    def dies(*all: Any) -> None:
        deliver(*all)
        raise TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(client, "deliver", dies)
        words = ["--key", str(stranger.key), "--hub", hub.address, "--mesh", hub.mesh, "--value", "22.25"]
        patch.setattr(sys, "argv", ["client.py", *words])
        with pytest.raises(TimeoutError):
            client.main()

    third = stranger.deliver(hub, "--topic", "air.temperature", "--value", "-3", "--unit", "Cel")
    assert third["joined"] is False
    messages = hub.tail("air.temperature", 3)
    assert [message["body"] for message in messages] == [21.5, 22.25, -3.0], "all, once, in order"
    assert messages[2]["id"] == third["id"]
    status = json.loads(hub.ask("status").stdout)
    assert status["journal"]["messages"] == 3
    assert status["traffic"]["invalid"] == 0


@pytest.mark.e2e
def test_a_stranger_whom_nobody_allowed_has_to_wait(hub: Hub, tmp_path: Path) -> None:
    stranger = Stranger(tmp_path)
    waits = stranger.run("--hub", hub.address, "--mesh", hub.mesh)
    assert waits.returncode == 1
    assert "somebody at the hub has to let us in" in waits.stderr
    assert not Path(f"{stranger.key}.state.json").exists()


@pytest.mark.e2e
def test_a_stranger_of_another_mesh_does_not_show_itself(hub: Hub, tmp_path: Path) -> None:
    stranger = Stranger(tmp_path)
    hub.ask("allow", stranger.public, "--name", "elsewhere")
    leaves = stranger.run("--hub", hub.address, "--mesh", "00" * 32)
    assert leaves.returncode == 1
    assert "that is another mesh" in leaves.stderr
    assert "elsewhere" not in [peer["name"] for peer in json.loads(hub.ask("peers").stdout)]


@pytest.mark.e2e
def test_a_short_message_3_is_answered(hub: Hub, tmp_path: Path, coap: type[client.Coap]) -> None:
    """bootstrap.md: message_4 is sent in answer to every explicit message_3. Who sends one has read message_2."""
    stranger = Stranger(tmp_path)
    hub.ask("allow", stranger.public, "--name", "short")
    host, _, port = hub.address.partition(":")
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(stranger.key.read_text()))
    kccs = {2: "", 8: {1: {1: 1, -1: 6, -2: bytes.fromhex(stranger.public)}}}
    _, _, said = client.handshake(coap(host, int(port)), key, {client.KCCS: kccs}, bytes.fromhex(hub.mesh))
    assert 65002 in said


def test_the_script_needs_nothing_of_ours() -> None:
    tree = ast.parse(CLIENT.read_text())
    names = {
        name.split(".")[0]
        for node in ast.walk(tree)
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert names - sys.stdlib_module_names == {"cbor2", "cryptography"}


def hex_after(text: str, label: str) -> bytes:
    found = re.search(rf"^{label} =\s+((?:[0-9a-f]+\s+)+)", text, re.MULTILINE)
    assert found, label
    return bytes.fromhex("".join(found[1].split()))


def test_the_worked_examples_hold_for_a_stranger(coap: type[client.Coap]) -> None:
    text = (DOCS / "membership.md").read_text()
    mesh = hex_after(text, "mesh")
    section = text[text.index("### `member` in") :]
    claims, keys = client.verify_membership(client.decode(hex_after(section, "hex")), mesh)
    assert claims[2] == "pump"
    assert keys == [hex_after(text, "authority")]

    text = (DOCS / "bootstrap.md").read_text()
    text = text[text.index("### `kos_reconnect_suite0`") :]
    names = ("initiator_sender_id", "initiator_recipient_id", "oscore_master_secret", "oscore_master_salt")
    session = client.Session(coap("127.0.0.1", 9), *(hex_after(text, name) for name in names))
    assert session.sender_key == hex_after(text, "oscore_sender_key")
    assert session.recipient_key == hex_after(text, "oscore_recipient_key")
    assert session.common_iv == hex_after(text, "oscore_common_iv")
    nonce, aad = session.nonce_and_aad(session.sender, b"\0")
    assert (nonce, aad) == (hex_after(text, "oscore_nonce"), hex_after(text, "oscore_aad"))
    exporter = hex_after(text, "prk_exporter")
    assert client.kdf(exporter, 0, b"", 16) == hex_after(text, "oscore_master_secret")
    assert client.kdf(hex_after(text, "prk_out"), 10, b"", 32) == exporter


def test_the_packs_of_the_document_say_the_same_to_a_stranger() -> None:
    text = (DOCS / "klp.md").read_text()

    def block(name: str, part: str) -> bytes:
        return bytes.fromhex(text.partition(f"<!-- {name} {part} -->\n```text\n")[2].partition("```")[0])

    public, mesh = block("pack-of-one", "public"), block("pack-of-one", "mesh")
    [one] = reader.unseal(block("pack-of-one", "hex"), public, mesh)
    assert one == ("air.temperature", 2, {1: 112, 2: [{1: "Cel", 2: 21.5}]})

    pack = block("pack-of-forms", "hex")
    said = reader.unseal(pack, public, mesh)
    assert [topic for topic, _, _ in said] == ["air"] * 4 + ["door.front", "door.badge", "air"]
    assert said[0][2][2] == [{0: "t", 1: "Cel", 2: 21.37}, {0: "h", 1: "%RH", 2: 48}, {0: "state", 3: "ok"}]
    assert said[2][2][2] == [{0: "t", 1: "Cel", 2: 21.5}]
    assert said[3] == ("air", 5, {1: "acme.sensor", 2: "no answer"})
    assert [said[4][2][2], said[5][2][2]] == [[{4: True}], [{8: bytes(range(8))}]]
    with pytest.raises(client.Refused, match="pack"):
        reader.unseal(pack.replace(b"state", b"stats"), public, mesh)
