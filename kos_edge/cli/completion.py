"""completion: the words of the command line, completed by the shell."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from kos_edge.cli import COMPLETE
from kos_edge.cli.face import Face, common, pass_face
from kos_edge.cli.telling import NAME


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@common
@pass_face
def completion(face: Face, shell: str) -> None:
    """Print what SHELL has to read to complete commands and options.

    \b
    bash    eval "$(kos-edge completion bash)"   in ~/.bashrc
    zsh     eval "$(kos-edge completion zsh)"   in ~/.zshrc, after compinit
    fish    kos-edge completion fish > ~/.config/fish/completions/kos-edge.fish
    """
    from kos_edge.cli.commands import kos_edge

    found = get_completion_class(shell)
    assert found is not None
    script = found(kos_edge, {}, NAME, COMPLETE).source()
    face.answer({"shell": shell, "script": script}, script)
