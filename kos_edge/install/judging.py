"""Whether a release is what somebody who may has sealed, before it runs."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

from kos_edge.errors import KosError, Refused
from kos_edge.install.layout import Layout
from kos_edge.node.config import BadConfiguration, Config
from kos_edge.node.config_sources import load_config
from kos_edge.node.installed import anchors, examine
from kos_edge.node.kept_config import load_kept
from kos_edge.node.keyfile import find_key


def judge(tree: Path, layout: Layout, say: Callable[[str], None]) -> None:
    """Raises Refused for files that differ from their manifest; and, where the configuration is strict, for a release
    that nobody it names has sealed. Elsewhere that is only said.

    Of a configuration that is broken the last good one counts, as for the daemon: it must not stand in the way back.
    """
    config = _config(layout, say)
    if config.security.signatures == "disabled":
        return
    own = None
    with contextlib.suppress(KosError):
        own = find_key(layout.state / "node.key").value.public
    try:
        report = examine(tree, anchors(config, own))
    except KosError as error:
        if config.security.signatures == "strict":
            raise
        say(f"{tree.name} is not vouched for: {error.message}")
        return
    if not report.sound:
        raise Refused(
            f"release {tree.name} is not what was sealed: {report.words()}",
            hint="install it anew; a card that fails shows in dmesg",
        )


def _config(layout: Layout, say: Callable[[str], None]) -> Config:
    path = layout.config / "config.toml"
    try:
        return load_config(path)
    except BadConfiguration as error:
        say(f"{error.message}: the last configuration that was good counts")
    try:
        return load_kept(path, keep=layout.state, read_only=True)
    except BadConfiguration:
        return Config()
