"""The state directory: who may read and write it, the key, the configuration, the vault."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator

from kos_edge.doctor.finding import Finding, bad, good, warning
from kos_edge.doctor.patient import Patient
from kos_edge.errors import KosError
from kos_edge.node.config import BadConfiguration, where
from kos_edge.node.config_sources import load_config
from kos_edge.node.keyfile import find_key
from kos_edge.node.statedir import CONFIG_NAME, NotInitialised, StateDir, owner_hint
from kos_edge.node.vaulting import NodeVault


def state(patient: Patient) -> Iterator[Finding]:
    """The directory is there, this user may write it, others may not."""
    path = patient.state
    try:
        StateDir.open(path)
        found = path.stat()
    except NotInitialised as error:
        yield bad("state", error.message, error.hint or "kos-edge init")
        return
    except KosError as error:
        yield bad("state", error.message, error.hint or owner_hint(path))
        return
    except OSError as error:
        yield bad("state", f"cannot look at {path}: {error.strerror}", owner_hint(path))
        return
    if not os.access(path, os.W_OK | os.X_OK):
        yield bad("state", f"this user may not write {path}", owner_hint(path))
    elif found.st_mode & stat.S_IWGRP:
        yield warning("state", f"the group may write {path}", f"chmod g-w {path}")
    else:
        yield good("state", f"{path} is this node's and only its owner writes it")
    foreign = sorted(each.name for each in path.iterdir() if each.stat().st_uid != found.st_uid)
    if foreign:
        owner = f"chown -R --reference={path} {path}"
        yield bad(
            "state", f"other users own {', '.join(foreign[:5])} in {path}: the daemon cannot use them", owner
        )


def key(patient: Patient) -> Iterator[Finding]:
    """The key is whole, and so is its copy."""
    try:
        found = find_key(StateDir(patient.state).key_file)
    except NotInitialised:
        return
    except KosError as error:
        yield bad("key", error.message, error.hint or "put a copy of it back")
        return
    if found.trouble is not None:
        yield warning("key", found.trouble, "the next start writes it anew; look at the card")
    else:
        yield good("key", "whole, and readable by its owner alone")


def configuration(patient: Patient) -> Iterator[Finding]:
    """Every line of it is understood."""
    file = StateDir(patient.state).config_file
    try:
        load_config(file)
    except BadConfiguration as error:
        for place in error.places:
            mend = place.hint or "kos-edge config example shows every key"
            yield bad("configuration", f"{where(error.file, place)}: {place.message}", mend)
        return
    there = "has nothing wrong in it" if file.exists() else "is not there, so the defaults hold"
    yield good("configuration", f"{CONFIG_NAME} {there}")


def vault(patient: Patient) -> Iterator[Finding]:
    """It opens and every secret is whole, and the configuration names none that is missing."""
    made = NodeVault(patient.state, patient.settings, lambda: None)
    wanted = {name for name, each in patient.settings.secrets.items() if each.agents}
    if not made.exists:
        for name in sorted(wanted):
            yield bad(
                "vault",
                f"agents are to have the secret {name}, and there is no vault",
                f"kos-edge vault put {name}",
            )
        return
    try:
        names = made.opened().names()
    except KosError as error:
        yield bad("vault", error.message, error.hint or "kos-edge vault verify")
        return
    if made.trouble is not None:
        yield bad(
            "vault", made.trouble, "put a secret again, which writes the vault anew: kos-edge vault put"
        )
    for name in sorted(wanted - names.keys()):
        yield bad(
            "vault",
            f"agents are to have the secret {name}, and the vault has none",
            f"kos-edge vault put {name}",
        )
    if made.trouble is None and wanted <= names.keys():
        yield good("vault", f"{len(names)} secrets, all whole")
