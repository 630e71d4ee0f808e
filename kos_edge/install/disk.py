"""What a person reads where the disk does not do what it should."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from kos_edge.errors import Unavailable

_HINTS = {
    errno.ENOSPC: "make room on the disk, then run it again",
    errno.EDQUOT: "make room on the disk, then run it again",
    errno.EROFS: "mount it writable: mount -o remount,rw /",
    errno.EACCES: "run it as root",
    errno.EPERM: "run it as root",
}


@contextlib.contextmanager
def said(path: Path) -> Iterator[None]:
    """Raise Unavailable, with the next step, for an error of the disk under `path`."""
    try:
        yield
    except shutil.Error as error:
        first = error.args[0][0] if error.args and error.args[0] else ("", "", "no reason given")
        raise Unavailable(f"cannot write {path}: {first[2]}", hint=_HINTS[errno.ENOSPC]) from None
    except OSError as error:
        hint = _HINTS.get(error.errno or 0, "look at dmesg")
        raise Unavailable(f"cannot write {path}: {error.strerror}", hint=hint) from None


def give_tree(path: Path, uid: int, gid: int) -> bool:
    """Make this user the owner of a folder and all in it, links themselves; whether the folder was not theirs.

    The folder comes last: what was interrupted is done again.
    """
    with said(path):
        if os.stat(path).st_uid == uid:
            return False
        for folder, folders, files in os.walk(path):
            for name in (*folders, *files):
                os.chown(Path(folder) / name, uid, gid, follow_symlinks=False)
        os.chown(path, uid, gid)
    return True
