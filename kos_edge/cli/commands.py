"""All commands, by section, each imported when it is asked for: ``kos-edge --help`` imports none of them."""

from __future__ import annotations

import difflib
from importlib import import_module

import click

from kos_edge import __version__
from kos_edge.cli.face import Face, common

SECTIONS: dict[str, dict[str, tuple[str, str]]] = {
    "Start": {
        "init": ("setup:init", "Make a node: its key and its state directory."),
        "run": ("setup:run", "Run the node, with agents."),
        "stop": ("setup:stop", "Stop the running daemon."),
        "bootstrap": ("bootstrap:bootstrap", "Begin again, in a mode; how the latest start went."),
        "config": ("config:config", "Check, show or explain the configuration."),
        "backup": ("backup:backup", "Write this node into an encrypted file."),
        "restore": ("backup:restore", "Make a node again from its backup."),
        "vault": ("vault:vault", "Passwords and keys that agents need."),
        "demo": ("setup:demo", "Watch three nodes lose nothing while links and processes die."),
    },
    "Members": {
        "invite": ("members:invite", "Make a token that lets newcomers in."),
        "join": ("members:join", "Join a mesh."),
        "rekey": ("members:rekey", "Give this node a new key, where another device has its old one."),
        "leave": ("members:leave", "Leave the mesh."),
        "allow": ("members:allow", "Let the owner of a public key in when it comes."),
        "pending": ("members:pending", "Who is waiting to be let in."),
        "admit": ("members:admit", "Let a waiting newcomer in."),
        "reject": ("members:reject", "Send a waiting newcomer away."),
        "revoke": ("members:revoke", "Take a membership back, for good."),
        "decommission": ("decommission:decommission", "End this node, or at a hub another one, for good."),
        "rename": ("members:rename", "Give a member another name."),
        "peers": ("looking:peers", "The nodes that this one knows."),
        "hub": ("authority:hub", "Make another hub, or one in the place of a dead one."),
        "authority": ("authority:authority", "Move or change the authority's key."),
    },
    "Messages": {
        "publish": ("publish:publish", "Publish values; done when they are on disk."),
        "tail": ("tail:tail", "Messages as they come, as JSON lines."),
        "watch": ("watch:watch", "Live values with their recent course."),
        "export": ("export:export", "Kept messages as CSV or JSON lines."),
        "queue": ("queue:queue", "What this node still owes others; dead letters."),
        "forecast": ("forecast:forecast", "When the queue is full or empty."),
        "klp": ("klp:klp", "Seal, inspect and verify messages by hand."),
    },
    "Machine": {
        "install": ("install:install", "Make this machine a node that starts with it."),
        "uninstall": ("install:uninstall", "Remove the program; queue and keys when purged."),
        "release": ("release:release", "Which version runs here; go to another one and back."),
    },
    "Look": {
        "status": ("looking:status", "This node at a glance."),
        "doctor": ("doctor:doctor", "What is wrong here, and what to do about it."),
        "diag": ("diag:diag", "A diagnosis to send to whoever helps, without secrets."),
        "completion": ("completion:completion", "Let your shell complete commands and options."),
    },
}


class Commands(click.Group):
    """The commands of `SECTIONS`, imported one by one."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [name for section in SECTIONS.values() for name in section]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        for section in SECTIONS.values():
            if cmd_name in section:
                module, name = section[cmd_name][0].split(":")
                found = getattr(import_module(f"kos_edge.cli.{module}"), name)
                assert isinstance(found, click.Command)
                return found
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.list_commands(ctx):
            near = difflib.get_close_matches(args[0], self.list_commands(ctx), n=1)
            question = f"; did you mean {near[0]}?" if near else ""
            raise click.UsageError(f"there is no command {args[0]!r}{question}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        for title, section in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name, about) for name, (_, about) in section.items()], col_max=12)


@click.group(cls=Commands, invoke_without_command=True, context_settings={"max_content_width": 100})
@click.version_option(__version__, message="%(version)s")
@common
@click.pass_context
def kos_edge(context: click.Context) -> None:
    """An agent runtime for edge devices that loses nothing silently.

    Nodes find each other, prove who they are, and keep every message until the far side has it on disk.
    --state and --json may stand before or after the command.
    """
    context.call_on_close(context.ensure_object(Face).give_back)
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
