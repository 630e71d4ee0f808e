"""A node's start, step by step, on real nodes in virtual time: steps that fail, what waits, modes, orders from afar."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from kos_edge.agents.agent import Agent
from kos_edge.bootstrap.order import Order
from kos_edge.bootstrap.sequence import STAY_S, Ending, Mode, Outcome, Step
from kos_edge.control.bootstrap_reports import BootstrapReport
from kos_edge.errors import Invalid, KosError, Refused, Unavailable
from kos_edge.klp.identity import KeyPair
from kos_edge.node.bootstrap_operations import kept_report, wish_for_next
from kos_edge.node.config import Config
from kos_edge.node.installed import MANIFEST_NAME, seal
from kos_edge.node.sections import SecuritySection, VaultSection
from kos_edge.node.starts import Start
from kos_edge.node.vaulting import NodeVault
from kos_edge.testing import in_virtual_time
from tests.node.world import Machine, World

pytestmark = pytest.mark.may_block("the stores work in the loop, so that every run is the same")

DAEMON = Start(kept=True, counts=True, settings=b"as configured", boot="this boot")


def marks(machine: Machine) -> dict[str, Outcome | None]:
    sequence = machine.node.startup.sequence
    assert sequence is not None
    return {step.text: (mark.outcome if (mark := sequence.mark(step)) else None) for step in Step}


def mode_of(machine: Machine) -> Mode:
    sequence = machine.node.startup.sequence
    assert sequence is not None
    return sequence.mode


def step(report: BootstrapReport, name: str) -> tuple[str, str]:
    (found,) = [each for each in report["steps"] if each["step"] == name]
    return found["outcome"], found["said"]


async def daemon(world: World) -> Machine:
    """An edge node that is started as a daemon is, in a mesh with a hub."""
    hub = await world.hub()
    edge = await world.member(hub, "edge")
    await edge.stop()
    edge.brings = DAEMON
    return edge


@in_virtual_time
async def test_every_step_is_gone_through_and_remembered(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        edge = await daemon(world)
        await edge.start()
        await world.until(lambda: marks(edge)["registration"] is Outcome.DONE)
        done = dict.fromkeys((step.text for step in Step), Outcome.DONE) | {"integrity": Outcome.SKIPPED}
        assert marks(edge) == done
        report = kept_report(edge.state)
        assert report["ended"] is not None, "nobody says that it runs"
        assert (await edge.operations.bootstrap_status())["ended"] is None
        assert (await edge.operations.status())["health"] == "good"
        await asyncio.sleep(STAY_S)
        await edge.stop()
        report = kept_report(edge.state)
        assert (report["stayed"], report["ended"]) == (True, "was stopped in order")


def broken_agent() -> list[Agent]:
    raise Invalid("greenhouse.py, line 3: no such pin", hint="mend it")


@in_virtual_time
async def test_an_agent_that_does_not_load_fails_the_start_and_after_three_of_them_the_node_does_without(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        edge = await daemon(world)
        edge.brings = replace(DAEMON, load=broken_agent)
        for _ in range(3):
            with pytest.raises(Invalid, match="no such pin"):
                await edge.start()
            report = kept_report(edge.state)
            assert step(report, "agents") == ("failed", "greenhouse.py, line 3: no such pin")
            assert step(report, "keys") == ("pending", "")
            assert report["ended"] == "ended in the step agents: greenhouse.py, line 3: no such pin"
        await edge.start()
        assert mode_of(edge) is Mode.RECOVERY
        await edge.publish("air.temperature", 1.0)
        await world.drained(edge)
        status = await edge.operations.status()
        assert status["health"] == "degraded"
        assert any("safe mode: 3 starts in a row failed" in text for text in status["warnings"])
        await edge.stop()
        edge.brings = replace(DAEMON, settings=b"mended")
        await edge.start()
        assert mode_of(edge) is Mode.DEFAULT
        await asyncio.sleep(STAY_S + 1)
        assert kept_report(edge.state)["failures"] == 0


@in_virtual_time
async def test_a_crash_of_the_process_counts_and_a_power_cut_does_not(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        edge = await daemon(world)
        for boot in range(4):
            edge.brings = replace(DAEMON, boot=f"boot {boot}")
            await edge.start()
            await edge.kill()
        await edge.start()
        assert mode_of(edge) is Mode.DEFAULT
        for _ in range(3):
            await edge.kill()
            await edge.start()
        assert mode_of(edge) is Mode.RECOVERY
        assert "died in service, without a word" in (kept_report(edge.state)["reason"] or "")


@in_virtual_time
async def test_without_a_hub_local_work_goes_on_and_the_registration_comes_when_it_is_back(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await edge.stop()
        await hub.stop()
        edge.brings = DAEMON
        heater = Agent("heater")

        @heater.command("heater.set")
        async def set_(level: float) -> float:
            return level

        await edge.start(heater)
        await asyncio.sleep(600)
        await edge.publish("air.temperature", 1.0)
        assert marks(edge)["registration"] is Outcome.WAITING
        assert (await edge.operations.status())["health"] == "good"
        await hub.start()
        await world.until(lambda: marks(edge)["registration"] is Outcome.DONE, within=600)
        await world.until(lambda: edge.kid in hub.node.startup.registering.known)
        (shown,) = await hub.operations.peers()
        registration = shown["registration"]
        assert registration is not None
        assert registration["capabilities"] == ["agent:heater", "command:heater.set"]
        assert (registration["mode"], registration["version"]) == ("default", registration["version"])
        await hub.kill()
        await hub.start()
        assert (await hub.operations.peers())[0]["registration"] == registration


@in_virtual_time
async def test_what_a_hub_has_heard_already_is_not_said_again(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        edge = await daemon(world)
        sent = []
        for _ in range(3):
            await edge.start()
            await world.until(lambda: marks(edge)["registration"] is Outcome.DONE)
            sent.append(edge.node.publisher.accepted)
            await edge.stop()
        assert sent == [1, 0, 0]


@in_virtual_time
async def test_in_minimal_mode_nobody_is_reached_and_agents_work(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        edge = await daemon(world)
        edge.brings = replace(DAEMON, mode=Mode.MINIMAL)
        await edge.start(Agent("climate"))
        await edge.publish("air.temperature", 1.0)
        await asyncio.sleep(300)
        assert edge.node.writer.store.outbox.usage.messages == 1
        assert edge.node.endpoint.bound == []
        assert [agent["name"] for agent in (await edge.operations.status())["agents"]] == ["climate"]
        assert marks(edge)["network"] is marks(edge)["registration"] is Outcome.SKIPPED


@in_virtual_time
async def test_in_recovery_mode_no_agent_runs_and_the_queue_drains(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        edge = await daemon(world)
        edge.brings = replace(DAEMON, mode=Mode.RECOVERY, load=broken_agent)
        await edge.start(Agent("climate"))
        await edge.publish("air.temperature", 1.0)
        await world.drained(edge)
        assert (await edge.operations.status())["agents"] == []
        assert marks(edge)["agents"] is Outcome.SKIPPED


# -- the installed files


def installed(folder: Path) -> Path:
    root = folder / "release"
    root.mkdir()
    (root / "kos-edge").write_text("#!")
    (root / MANIFEST_NAME).write_bytes(seal(root, "1.0", RELEASE))
    return root


RELEASE = KeyPair.from_seed(b"r" * 32)
ANCHORS = (RELEASE.public.hex(),)


@pytest.mark.parametrize("how", ["strict", "moderate", "disabled"])
@pytest.mark.parametrize("touched", [False, True])
@in_virtual_time
async def test_changed_files_are_said_and_cost_the_agents_where_that_is_wanted(
    tmp_path: Path, how: str, touched: bool
) -> None:
    async with World(tmp_path) as world:
        edge = await daemon(world)
        root = installed(tmp_path)
        edge.config = replace(edge.config, security=SecuritySection(signatures=how, trust_anchors=ANCHORS))
        edge.brings = replace(DAEMON, root=root)
        if touched:
            (root / "kos-edge").write_text("#?")
        await edge.start(Agent("climate"))
        await world.until(lambda: marks(edge)["integrity"] is not Outcome.WAITING)
        status = await edge.operations.status()
        agents = [agent["name"] for agent in status["agents"]]
        said = [text for text in status["warnings"] if "changed: kos-edge" in text]
        match how, touched:
            case "strict", True:
                assert (agents, mode_of(edge), status["health"]) == ([], Mode.RECOVERY, "degraded")
                assert said
            case "moderate", True:
                assert (agents, mode_of(edge), status["health"]) == (["climate"], Mode.DEFAULT, "degraded")
                assert said
            case _:
                assert (agents, mode_of(edge), status["health"]) == (["climate"], Mode.DEFAULT, "good")
                assert marks(edge)["integrity"] is (Outcome.SKIPPED if how == "disabled" else Outcome.DONE)


@in_virtual_time
async def test_a_tree_without_a_manifest_is_no_fault_until_one_was_there(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        edge = await daemon(world)
        root = installed(tmp_path)
        edge.config = replace(edge.config, security=SecuritySection(trust_anchors=ANCHORS))
        edge.brings = replace(DAEMON, root=root)
        manifest = (root / MANIFEST_NAME).read_bytes()
        for there, outcome in ((False, Outcome.SKIPPED), (True, Outcome.DONE), (False, Outcome.DEGRADED)):
            (root / MANIFEST_NAME).unlink(missing_ok=True)
            if there:
                (root / MANIFEST_NAME).write_bytes(manifest)
            await edge.start()
            await world.until(lambda: marks(edge)["integrity"] is not Outcome.WAITING)
            assert marks(edge)["integrity"] is outcome
            await edge.stop()


@in_virtual_time
async def test_where_it_is_strict_a_tree_without_a_manifest_starts_no_agent(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        edge = await daemon(world)
        (tmp_path / "empty").mkdir()
        edge.config = replace(edge.config, security=SecuritySection(signatures="strict"))
        edge.brings = replace(DAEMON, root=tmp_path / "empty")
        await edge.start(Agent("climate"))
        assert (mode_of(edge), marks(edge)["integrity"]) == (Mode.RECOVERY, Outcome.FAILED)


# -- the other steps


@in_virtual_time
async def test_a_vault_that_does_not_open_and_a_configuration_that_fell_back_degrade_and_stop_nothing(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        edge = await daemon(world)
        NodeVault(edge.state, Config(), lambda: None).put("wifi", b"12345678")
        (edge.state / "vault.key").write_bytes(bytes(32))
        edge.config = replace(edge.config, vault=VaultSection(), trouble="config.toml:3: no such key")
        await edge.start()
        assert marks(edge)["keys"] is marks(edge)["configuration"] is Outcome.DEGRADED
        assert marks(edge)["services"] is Outcome.DONE


@in_virtual_time
async def test_a_key_that_is_gone_fails_the_step_identity_and_is_said_without_a_node(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        edge = await daemon(world)
        for name in ("node.key", "node.key.copy"):
            (edge.state / name).write_text("half")
            (edge.state / name).chmod(0o600)
        with pytest.raises(Invalid):
            await edge.start()
        report = kept_report(edge.state)
        assert step(report, "identity")[0] == "failed"
        assert report["ended"] is not None
        assert "in the step identity" in report["ended"]


@in_virtual_time
async def test_services_that_do_not_start_fail_the_start(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        edge = await daemon(world)
        await edge.start()
        node = edge.node
        await edge.stop()

        async def no_socket() -> None:
            raise Unavailable("the control socket cannot be made")

        with pytest.raises(Unavailable):
            await type(node)(edge.state, config=edge.config, carriers=[], threaded=False, start=DAEMON).run(
                on_ready=no_socket
            )
        assert step(kept_report(edge.state), "services") == ("failed", "the control socket cannot be made")


@in_virtual_time
async def test_a_chronicle_that_cannot_be_read_or_written_stops_no_start(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        edge = await daemon(world)
        await edge.start()
        await edge.stop()
        for name in ("bootstrap", "bootstrap.previous"):
            (edge.state / name).write_bytes(b"spoiled")
        await edge.start()
        await edge.stop()
        assert kept_report(edge.state)["number"] == 1
        for name in ("bootstrap", "bootstrap.previous"):
            (edge.state / name).unlink()
            (edge.state / name).mkdir()
        await edge.start()
        await edge.publish("air.temperature", 1.0)


# -- beginning again


@in_virtual_time
async def test_a_person_begins_it_again_in_another_mode_and_only_where_something_asks_for_it(
    tmp_path: Path,
) -> None:
    async with World(tmp_path) as world:
        edge = await daemon(world)
        await edge.start()
        with pytest.raises(Refused, match="nothing is amiss"):
            await edge.operations.bootstrap()
        node = edge.node
        report = await edge.operations.bootstrap(mode="recovery")
        assert report["said"] == "edge begins again in recovery mode"
        with pytest.raises(Unavailable, match="about to begin"):
            await edge.operations.bootstrap(mode="recovery")
        await asyncio.sleep(5)
        await edge.stop()
        assert node.startup.again
        assert node.startup.chronicle.attempts[-1].ending is Ending.AGAIN
        await edge.start()
        assert mode_of(edge) is Mode.RECOVERY
        assert kept_report(edge.state)["cause"] == "kos-edge bootstrap"
        await edge.operations.bootstrap(mode="recovery", force=True)
        with pytest.raises(Invalid, match="no mode"):
            await edge.operations.bootstrap(mode="turbo")


@in_virtual_time
async def test_it_is_said_of_which_agents_files_no_signature_is_checked(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        edge = await daemon(world)
        inside, outside = tmp_path / "release" / "greenhouse.py", tmp_path / "garden.py"
        edge.brings = replace(
            DAEMON, load=lambda: [Agent("climate")], root=tmp_path / "release", agents=(inside, outside)
        )
        await edge.start()
        assert step(await edge.operations.bootstrap_status(), "agents") == (
            "done",
            f"loaded: climate; of {outside} no signature is checked",
        )


@in_virtual_time
async def test_before_an_update_of_the_system_its_health_is_checked(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        edge = await daemon(world)
        NodeVault(edge.state, Config(), lambda: None).put("wifi", b"12345678")
        await edge.start()
        for name in ("vault", "vault.previous"):
            (edge.state / name).write_bytes(b"spoiled meanwhile")
        with pytest.raises(Refused, match="a health check fails: the vault"):
            await edge.operations.bootstrap(checks=True)
        await edge.operations.bootstrap(checks=True, force=True)


@in_virtual_time
async def test_before_an_update_of_the_system_the_database_is_read_page_by_page(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        edge = await daemon(world)
        await edge.start()
        path = edge.state / "kos.db"
        sound = path.read_bytes()
        path.write_bytes(sound[:4096] + bytes(len(sound) - 4096))
        with pytest.raises(Refused, match="a health check fails: the database is damaged"):
            await edge.operations.bootstrap(checks=True)
        path.write_bytes(sound)
        assert "begins again" in (await edge.operations.bootstrap(checks=True))["said"]


@in_virtual_time
async def test_a_wish_for_the_next_start_is_kept_where_no_daemon_runs(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        edge = await daemon(world)
        wish_for_next(edge.state, "minimal")
        await edge.start()
        assert mode_of(edge) is Mode.MINIMAL


@in_virtual_time
async def test_a_node_inside_another_program_begins_nothing_again(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        edge = await daemon(world)
        edge.brings = Start()
        await edge.start()
        with pytest.raises(Unavailable, match="inside another program"):
            await edge.operations.bootstrap(mode="recovery")


# -- orders from afar


@in_virtual_time
async def test_the_hub_orders_a_member_which_obeys_and_remembers_who_it_was(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await edge.stop()
        edge.brings = DAEMON
        await edge.start()
        await world.until(lambda: hub.linked(edge))
        report = await hub.operations.bootstrap(mode="recovery", who="edge")
        assert report == {"node": "edge", "said": "edge begins again in recovery mode"}
        await asyncio.sleep(5)
        await edge.stop()
        await edge.start()
        assert mode_of(edge) is Mode.RECOVERY
        kept = kept_report(edge.state)
        assert kept["cause"] == "order of hub"
        (order,) = kept["orders"]
        assert (order["giver"], order["mode"]) == ("hub", "recovery")


@in_virtual_time
async def test_whoever_is_neither_issuer_nor_operator_orders_nothing(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        one, other = await world.member(hub, "one"), await world.member(hub, "other")
        hub.brings = DAEMON
        await world.until(lambda: hub.linked(one, other))
        with pytest.raises(Refused, match="only a hub that issues"):
            await one.operations.bootstrap(mode="recovery", who="hub")
        answer = await hub.node.ordering.answer(one.membership, b"")
        assert answer[1] == 0xF4, "false, and no nonce"
        assert hub.node.ordering.refused == 1


@in_virtual_time
async def test_one_who_is_not_connected_is_not_ordered_later(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await edge.stop()
        await asyncio.sleep(300)
        with pytest.raises(Unavailable, match="is not connected"):
            await hub.operations.bootstrap(mode="recovery", who="edge")
        with pytest.raises(KosError):
            await hub.operations.bootstrap(mode="recovery", who="nobody")


@in_virtual_time
async def test_a_target_that_declines_says_why(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        hub = await world.hub()
        edge = await world.member(hub, "edge")
        await world.until(lambda: hub.linked(edge))
        with pytest.raises(Refused, match="edge: this node runs inside another program"):
            await hub.node.ordering.give(edge.kid, Order(Mode.RECOVERY))
