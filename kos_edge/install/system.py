"""What an installation does to the system beside files: the user, units, programs run for the user, credentials."""

from __future__ import annotations

import grp
import json
import os
import pwd
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from kos_edge.control.wire import error_from
from kos_edge.errors import Refused, Unavailable
from kos_edge.install.disk import give_tree
from kos_edge.install.layout import NAME
from kos_edge.install.release import START
from kos_edge.install.systemd import Services, Systemd

GROUPS = ("dialout", "gpio", "i2c", "spi")
"""Of devices that sensors and boards hang on; the daemon's user joins those that there are."""

FIRST_PERSON = 1_000
"""Numbers of users from here on are people's (Debian Policy 9.2.2); a daemon's are below."""

_PATIENCE_S = 120
"""For a command on the state: a join tries its hubs for 30 s."""


class System(Services, Protocol):
    """All of it raises Unavailable; `ask` raises what the command did."""

    def has_account(self) -> bool: ...

    def is_persons(self) -> bool:
        """Whether there is an account of that name with which somebody logs in."""
        ...

    def make_account(self) -> None: ...

    def join_groups(self) -> list[str]:
        """Put the daemon's user into the groups of devices that there are; those that it was not in."""
        ...

    def remove_account(self) -> None: ...

    def give(self, path: Path) -> bool:
        """Make the daemon's user the owner of a folder and all in it; whether it was not that of the folder."""
        ...

    def ask(self, tree: Path, words: Sequence[str]) -> Any:
        """What a command of the release in `tree` answers in JSON, run as the daemon's user."""
        ...

    def seal(self, name: str, secret: bytes) -> bytes | None:
        """A secret encrypted for this machine; None where systemd cannot."""
        ...

    def reload(self) -> None:
        """Have systemd read the units anew."""
        ...

    def enabled(self, unit: str) -> bool: ...

    def enable(self, unit: str) -> None: ...

    def disable(self, unit: str) -> None:
        """Stop it as well."""
        ...


class ThisSystem(Systemd):
    """The machine that this runs on."""

    def has_account(self) -> bool:
        try:
            pwd.getpwnam(NAME)
            grp.getgrnam(NAME)
        except KeyError:
            return False
        return True

    def is_persons(self) -> bool:
        try:
            return pwd.getpwnam(NAME).pw_uid >= FIRST_PERSON
        except KeyError:
            return False

    def make_account(self) -> None:
        _run("systemd-sysusers", f"{NAME}.conf")
        try:
            grp.getgrnam(NAME)
        except KeyError:
            raise Refused(
                f"there is a user {NAME} here, and no group of that name",
                hint=f"groupadd --system {NAME} && usermod -g {NAME} {NAME}; or remove that user",
            ) from None

    def join_groups(self) -> list[str]:
        joined = []
        for group in GROUPS:
            try:
                members = grp.getgrnam(group).gr_mem
            except KeyError:
                continue
            if NAME not in members:
                _run("usermod", "-a", "-G", group, NAME)
                joined.append(group)
        return joined

    def remove_account(self) -> None:
        if self.has_account():
            _run("userdel", NAME)
        try:
            grp.getgrnam(NAME)
        except KeyError:
            return
        _run("groupdel", NAME)

    def give(self, path: Path) -> bool:
        return give_tree(path, pwd.getpwnam(NAME).pw_uid, grp.getgrnam(NAME).gr_gid)

    def ask(self, tree: Path, words: Sequence[str]) -> Any:
        program = [str(tree / "bin" / "python3"), *START, *words, "--json"]
        try:
            done = subprocess.run(
                program,
                user=NAME,
                group=NAME,
                extra_groups=[],
                cwd="/",
                env={"PATH": os.defpath, "HOME": "/nonexistent", "LANG": "C.UTF-8"},
                umask=0o027,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=_PATIENCE_S,
            )
            answer = json.loads(done.stdout if done.returncode == 0 else done.stderr.splitlines()[-1])
        except subprocess.TimeoutExpired:
            raise Unavailable(f"kos-edge {words[-1]} took more than {_PATIENCE_S} s") from None
        except (OSError, ValueError, IndexError) as error:
            raise Unavailable(f"kos-edge {' '.join(words)} gave no answer: {error}") from None
        if done.returncode != 0:
            raise error_from(answer.get("error"))
        return answer

    def seal(self, name: str, secret: bytes) -> bytes | None:
        program = shutil.which("systemd-creds")
        if program is None:
            return None
        try:
            done = subprocess.run(
                [program, f"--name={name}", "encrypt", "-", "-"],
                input=secret,
                capture_output=True,
                timeout=60,
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        return done.stdout if done.returncode == 0 and done.stdout else None

    def reload(self) -> None:
        self.systemctl("daemon-reload")

    def enabled(self, unit: str) -> bool:
        return self.systemctl("is-enabled", unit, check=False).strip() == "enabled"

    def enable(self, unit: str) -> None:
        self.systemctl("enable", unit)

    def disable(self, unit: str) -> None:
        self.systemctl("disable", "--now", unit, check=False)


def _run(*command: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"cannot run {command[0]}: {error}") from None
    if done.returncode != 0:
        said = " ".join(done.stderr.split()) or f"exit code {done.returncode}"
        raise Unavailable(f"{' '.join(command)}: {said}", hint="look at journalctl -e")
