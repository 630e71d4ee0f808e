"""The configuration of a daemon, and the last one that was good: what a file cut off or spoiled falls back to.

The file is a person's, so the copy is made when a daemon starts with it, not when it is written.
"""

from __future__ import annotations

import contextlib
import os
from functools import partial
from pathlib import Path

from kos_edge.errors import Unavailable
from kos_edge.node.config import BadConfiguration, Config, Layer, combine, parse_layer
from kos_edge.node.config_sources import CONFIG_LIMIT, drop_ins, environment_layer, read_file
from kos_edge.node.durable_file import write_durably
from kos_edge.node.settings import Place


def load_kept(path: Path, *, keep: Path | None = None, read_only: bool = False) -> Config:
    """The configuration at `path` with what goes before it (`config_sources`), or the last good one with its `trouble`.

    Of each file the last good copy is in the folder `keep`, by default beside it; with `read_only` none is made.
    Raises BadConfiguration where a file is bad and has no copy. A file that is gone, empty, or the mere beginning of
    the last good one was cut off, as far as anybody can tell: it is not taken for a wish to have the defaults.
    """
    folder = path.parent if keep is None else keep
    troubles: list[str] = []
    take = partial(_kept_layer, folder=folder, troubles=troubles, read_only=read_only)
    layers = [take(path, may_be_gone=False)]
    layers += [take(each, may_be_gone=True) for each in drop_ins(path)]
    return combine([*layers, environment_layer(os.environ)], trouble="; ".join(troubles) or None)


def _kept_layer(
    path: Path, *, folder: Path, troubles: list[str], may_be_gone: bool, read_only: bool
) -> Layer:
    kept = folder / f"{path.name}.good"
    before = _bytes(kept)
    try:
        now = read_file(path) if may_be_gone or path.exists() else b""
        layer = parse_layer(now, file=str(path))
        if before and len(now) < len(before) and before.startswith(now):
            what = "is cut off" if now else "is gone or empty"
            hint = f"if that is meant: end it with a comment, or delete {kept.name}"
            raise BadConfiguration(str(path), [Place(None, what, hint)])
    except BadConfiguration as error:
        if not before:
            raise
        try:
            layer = parse_layer(before, file=str(kept))
        except BadConfiguration:
            raise error from None
        said = f"{error.message}: the node runs with {kept.name}, the last configuration that was good"
        troubles.append(f"{said} ({error.hint})" if error.hint else said)
        return layer
    if now and now != before and not read_only:
        with contextlib.suppress(Unavailable):  # a full disk: the one before stays
            write_durably(kept, now, mode=0o640)
    return layer


def _bytes(path: Path) -> bytes | None:
    try:
        with path.open("rb") as file:
            return file.read(CONFIG_LIMIT)
    except OSError:
        return None
