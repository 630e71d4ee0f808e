"""What an operator may have done at a hub over a session, and what nobody may."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from kos_edge.control.remote import ADMIN_PATH, Ask, decode_part, encode_ask
from kos_edge.delivery.wire import Reason
from kos_edge.errors import KosError, Refused, Unavailable, Unknown
from kos_edge.klp.body import Data
from kos_edge.klp.pack import Message, encode_message
from kos_edge.mesh.membership import Membership
from kos_edge.node.administration import KEPT_S, MOST_OF_ONE, Administration
from kos_edge.node.audit import Audit
from kos_edge.node.sections import AdmissionSection
from kos_edge.node.station import Station
from kos_edge.store.records import Dead
from kos_edge.store.store import Store
from kos_edge.testing import in_virtual_time
from kos_edge.testing.machine import Machine
from kos_edge.transport.coap import (
    BAD_REQUEST,
    CHANGED,
    FORBIDDEN,
    NOT_FOUND,
    POST,
    SERVICE_UNAVAILABLE,
    Request,
)
from tests.node.world import World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")


async def served(world: World, **sections: Any) -> Machine:
    hub = await world.hub(**sections)
    hub.node.inbound.resources[ADMIN_PATH] = Administration(hub.node, hub.operations).answer
    return hub


async def operator(world: World, hub: Machine, name: str = "laptop") -> Machine:
    machine = world.machine(name, "operator")
    await machine.start(peers=[hub])
    token = (await hub.operations.invite(role="operator"))["token"]
    await machine.operations.join(token=token)
    await world.until(lambda: machine.linked(hub) and hub.linked(machine))
    return machine


async def post(machine: Machine, hub: Machine, body: bytes) -> tuple[int, bytes]:
    """Over the link, or the one that takes its place: two that meet may hold two for a moment."""
    session = machine.node.peers.links[hub.kid].session
    try:
        response = await session.request(Request(POST, ADMIN_PATH, body))
    except Unavailable:
        await asyncio.sleep(1)
        response = await machine.node.peers.links[hub.kid].session.request(Request(POST, ADMIN_PATH, body))
    return response.code, response.payload


def asked(verb: str, ident: int = 1, **params: Any) -> bytes:
    line = json.dumps({"verb": verb, "params": params}).encode()
    return encode_ask(Ask(ident.to_bytes(8), 0, line))


async def ask(machine: Machine, hub: Machine, verb: str, ident: int = 1, **params: Any) -> Any:
    code, payload = await post(machine, hub, asked(verb, ident, **params))
    assert code == CHANGED
    part = decode_part(payload)
    data = part.data
    while len(data) < part.total:
        code, payload = await post(machine, hub, encode_ask(Ask(ident.to_bytes(8), len(data))))
        assert code == CHANGED
        data += decode_part(payload).data
    return json.loads(data)


def audit(hub: Machine) -> list[dict[str, Any]]:
    path = hub.state / "audit.log"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


@in_virtual_time
async def test_an_operator_sees_and_decides_as_at_the_hub_and_decisions_are_written_down(
    tmp_path: Path,
) -> None:
    async with World(tmp_path, seed=1) as world:
        hub = await served(world)
        laptop = await operator(world, hub)
        await world.member(hub, "shed")
        peers = await ask(laptop, hub, "peers", 1)
        assert {peer["name"] for peer in peers["result"]} == {"laptop", "shed"}
        assert (await ask(laptop, hub, "status", 2))["result"]["name"] == "hub"
        assert (await ask(laptop, hub, "rename", 3, who="shed", name="barn"))["result"]["name"] == "barn"
        assert (await ask(laptop, hub, "revoke", 4, who="barn", reason="sold"))["result"]["reason"] == "sold"
        assert (await ask(laptop, hub, "queue_dead", 5)) == {"items": []}
        entries = audit(hub)
        assert [(e["verb"], e["outcome"]) for e in entries] == [("rename", "done"), ("revoke", "done")]
        assert laptop.kid.hex() in entries[0]["operator"]


@in_virtual_time
async def test_nobody_but_an_operator_is_served(tmp_path: Path) -> None:
    async with World(tmp_path, seed=2) as world:
        hub = await served(world)
        edge = await world.member(hub, "shed")
        for body in (asked("peers"), asked("revoke", who="hub"), b"", b"\xff"):
            assert (await post(edge, hub, body))[0] == FORBIDDEN
        assert audit(hub) == []


@in_virtual_time
async def test_a_hub_may_let_no_operator_in(tmp_path: Path) -> None:
    async with World(tmp_path, seed=3) as world:
        hub = await served(world, admission=AdmissionSection(operators=False))
        laptop = await operator(world, hub)
        assert (await post(laptop, hub, asked("peers")))[0] == FORBIDDEN


@in_virtual_time
async def test_a_revoked_operator_is_not_served_any_more(tmp_path: Path) -> None:
    async with World(tmp_path, seed=4) as world:
        hub = await served(world)
        laptop, second = await operator(world, hub), await operator(world, hub, "second")
        session = laptop.node.peers.links[hub.kid].session
        assert "result" in await ask(second, hub, "revoke", 1, who="laptop")
        await world.until(lambda: session.closed is not None)
        assert not hub.linked(laptop)


@in_virtual_time
async def test_an_operator_that_revokes_itself_hears_that_it_was_done_and_nothing_after(
    tmp_path: Path,
) -> None:
    async with World(tmp_path, seed=12) as world:
        hub = await served(world)
        laptop = await operator(world, hub)
        station = Station(laptop.node)
        report = await station.revoke(who="laptop", reason="sold")
        assert (report["name"], report["reason"]) == ("laptop", "sold")
        assert hub.node.trust.revoked(laptop.membership)
        await world.until(lambda: not hub.node.peers.parting, within=5)
        assert not any(isinstance(each.peer, Membership) for each in hub.node.endpoint.sessions)
        with pytest.raises((Unavailable, Refused)):
            await Station(laptop.node).peers()


@in_virtual_time
async def test_an_operator_whose_revocation_of_itself_fails_stays_one(tmp_path: Path) -> None:
    async with World(tmp_path, seed=13) as world:
        hub = await served(world)
        laptop = await operator(world, hub)
        session = hub.node.peers.links[laptop.kid].session
        answer = await ask(laptop, hub, "revoke", 1, who="laptop", reason=7)
        assert answer["error"]["kind"] == "invalid"
        await world.sleep("10s")
        assert session.closed is None
        assert (await ask(laptop, hub, "status", 2))["result"]["name"] == "hub"


@in_virtual_time
async def test_an_operator_orders_a_member_to_begin_again_through_the_hub_and_not_the_hub(
    tmp_path: Path,
) -> None:
    async with World(tmp_path, seed=14) as world:
        hub = await served(world)
        laptop = await operator(world, hub)
        await world.member(hub, "shed")
        station = Station(laptop.node)
        with pytest.raises(Refused, match="no daemon runs on a station"):
            await station.bootstrap(force=True)
        with pytest.raises(KosError) as refused:
            await station.bootstrap(who="shed", force=True)
        assert "runs inside another program" in refused.value.message  # what the member says, through the hub
        answer = await ask(laptop, hub, "bootstrap", 3, force=True)
        assert answer["error"]["kind"] == "refused"
        assert [entry["verb"] for entry in audit(hub)] == ["bootstrap", "bootstrap"]


@in_virtual_time
async def test_what_makes_operators_is_not_done_for_a_station(tmp_path: Path) -> None:
    async with World(tmp_path, seed=5) as world:
        hub = await served(world)
        laptop = await operator(world, hub)
        newcomer = world.machine("newcomer", "operator")
        await newcomer.start(peers=[hub])
        await newcomer.operations.join(mesh=hub.mesh.hex())
        tries: list[tuple[str, dict[str, Any]]] = [
            ("invite", {"role": "operator"}),
            ("invite", {"role": " Operator"}),
            ("invite", {"replaces": "laptop"}),
            ("allow", {"public": "ab" * 32, "role": "operator"}),
            ("admit", {"who": "newcomer", "role": "operator"}),
            ("admit", {"who": "newcomer"}),
            ("stop", {}),
            ("vault_get", {"name": "x"}),
            ("publish", {"topic": "a", "values": [1]}),
            ("_node", {}),
        ]
        for number, (verb, params) in enumerate(tries):
            answer = await ask(laptop, hub, verb, number, **params)
            assert answer["error"]["kind"] == "refused", (verb, answer)
        assert [entry["outcome"] == "done" for entry in audit(hub)] == [False] * len(tries)
        admitted = await ask(laptop, hub, "admit", 99, who="newcomer", role="edge")
        assert admitted["result"]["role"] == "edge"


@in_virtual_time
async def test_a_token_for_anybody_makes_no_operator(tmp_path: Path) -> None:
    async with World(tmp_path, seed=6) as world:
        hub = await world.hub(admission=AdmissionSection(open=True))
        laptop = world.machine("laptop", "operator")
        await laptop.start(peers=[hub])
        with pytest.raises(Refused, match="the token is for edge or relay, not for operator"):
            await laptop.operations.join(token=(await hub.operations.invite())["token"])
        report = await laptop.operations.join(mesh=hub.mesh.hex())
        assert report["outcome"] == "pending"


@in_virtual_time
async def test_the_same_request_is_carried_out_once_however_often_it_is_asked(tmp_path: Path) -> None:
    async with World(tmp_path, seed=7) as world:
        hub = await served(world)
        laptop = await operator(world, hub)
        first = await ask(laptop, hub, "invite", 7)
        assert await ask(laptop, hub, "invite", 7) == first
        assert await ask(laptop, hub, "invite", 8) != first
        assert len(audit(hub)) == 2
        await world.sleep(2 * KEPT_S)
        await ask(laptop, hub, "peers", 9)
        assert (await post(laptop, hub, encode_ask(Ask((7).to_bytes(8), 900))))[0] == NOT_FOUND


@in_virtual_time
async def test_answers_are_kept_for_few_requests_of_one_operator(tmp_path: Path) -> None:
    async with World(tmp_path, seed=8) as world:
        hub = await served(world)
        laptop = await operator(world, hub)
        administration = Administration(hub.node, hub.operations)
        hub.node.inbound.resources[ADMIN_PATH] = administration.answer
        for number in range(3 * MOST_OF_ONE):
            await ask(laptop, hub, "peers", number)
        assert len(administration._asked) <= MOST_OF_ONE


@in_virtual_time
async def test_an_answer_that_is_too_long_is_none_rather_than_a_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with World(tmp_path, seed=12) as world:
        hub = await served(world)
        laptop = await operator(world, hub)

        message = encode_message(Message("a", Data(1)), 0)

        def bury(store: Store) -> None:
            for number in range(50):
                store.records.bury(Dead(f"letter {number}", number, Reason.REFUSED, "a", message))

        await hub.node.writer.run(bury)
        assert len((await ask(laptop, hub, "queue_dead", 1))["items"]) == 50
        monkeypatch.setattr("kos_edge.node.administration.MAX_ANSWER", 2_000)
        answer = await ask(laptop, hub, "queue_dead", 2)
        assert (answer["error"]["kind"], answer["error"]["hint"]) == ("unavailable", "ask at the hub itself")


@in_virtual_time
async def test_an_operator_in_a_loop_has_to_wait_and_pushes_nothing_out_of_the_audit(tmp_path: Path) -> None:
    async with World(tmp_path, seed=13) as world:
        hub = await served(world)
        laptop = await operator(world, hub)
        codes = [(await post(laptop, hub, asked("stop", number)))[0] for number in range(80)]
        assert codes.count(CHANGED) in range(60, 70)
        assert set(codes) == {CHANGED, SERVICE_UNAVAILABLE}
        assert codes[0] == CHANGED
        assert len(audit(hub)) == codes.count(CHANGED)
        await world.sleep(5)
        assert (await post(laptop, hub, asked("peers", 99)))[0] == CHANGED


def test_an_audit_keeps_the_newest_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kos_edge.node.audit.MAX_BYTES", 100)
    book = Audit(tmp_path)
    for number in range(40):
        book.write({"name": "laptop", "verb": "invite", "params": {}, "outcome": "done", "n": number})
    found = sorted(tmp_path.iterdir(), key=lambda path: int(path.suffix.strip(".log") or 0), reverse=True)
    kept = [json.loads(line)["n"] for path in found for line in path.read_text().splitlines()]
    assert (len(found), kept) == (10, list(range(40 - len(kept), 40)))


@in_virtual_time
async def test_a_station_that_hears_no_answer_does_not_say_that_nothing_was_done(tmp_path: Path) -> None:
    async with World(tmp_path, seed=11) as world:
        hub = await served(world)
        laptop = await operator(world, hub)
        station = Station(laptop.node)
        assert (await station.status())["name"] == "hub"
        world.isolate(hub)
        with pytest.raises(Unknown, match="it may have been done or not"):
            await station.reject(who="shed")
        with pytest.raises(Unavailable, match="no hub can be reached"):
            await station.reject(who="shed")


@pytest.mark.parametrize(
    "body",
    [b"", b"\x80", b"\xff" * 20, encode_ask(Ask(bytes(8), 0, b""))[:-3], b"\x83\x41\x00\x00\x40"],
    ids=["nothing", "an empty list", "no CBOR", "cut short", "a short id"],
)
@in_virtual_time
async def test_what_makes_no_sense_is_a_bad_request(tmp_path: Path, body: bytes) -> None:
    async with World(tmp_path, seed=9) as world:
        hub = await served(world)
        laptop = await operator(world, hub)
        assert (await post(laptop, hub, body))[0] == BAD_REQUEST


@pytest.mark.parametrize("line", [b"", b"[]", b'{"verb":1}', b'{"verb":"peers"}', b"\xff", b"[" * 5_000])
@in_virtual_time
async def test_a_line_that_makes_no_sense_is_answered_so(tmp_path: Path, line: bytes) -> None:
    async with World(tmp_path, seed=10) as world:
        hub = await served(world)
        laptop = await operator(world, hub)
        code, payload = await post(laptop, hub, encode_ask(Ask(bytes(8), 0, line)))
        assert code == CHANGED
        assert json.loads(decode_part(payload).data)["error"]["kind"] == "invalid"
