"""`python -m tools.deb [ARCH…]`: make the packages, or with --pin write down what goes into them."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from kos_edge import __version__
from kos_edge.errors import KosError
from kos_edge.install.environment import canonical, closure
from kos_edge.install.layout import NAME
from kos_edge.klp.identity import KeyPair
from kos_edge.node.keyfile import read_key, write_key
from tools.deb.architecture import ALL, own
from tools.deb.package import QUICK, SMALL, build
from tools.deb.wheels import PINS, ROOT, NotBuilt

_HEAD = """\
# What the Debian package has inside, beside kos-edge itself. `python -m tools.deb --pin` writes it
# from the environment.
"""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tools.deb", description=__doc__)
    parser.add_argument("architectures", nargs="*", metavar="ARCH", help=f"{', '.join(ALL)} or all")
    parser.add_argument("--version", default=__version__, help="instead of that of the sources")
    parser.add_argument("--folder", type=Path, default=ROOT / "build" / "deb")
    parser.add_argument("--key", type=Path, help="what seals them; by default FOLDER/release.key, made once")
    parser.add_argument("--quick", action="store_true", help="larger and sooner, for tests")
    parser.add_argument("--pin", action="store_true", help="write packaging/requirements.txt")
    options = parser.parse_args()
    if options.pin:
        _pin()
        return 0
    wanted = options.architectures or [own()]
    names = list(ALL) if "all" in wanted else wanted
    unknown = sorted(set(names) - set(ALL))
    if unknown or not re.fullmatch(r"[0-9][0-9A-Za-z.+~]{0,60}", options.version):
        parser.error(f"no such architecture: {', '.join(unknown)}" if unknown else "that is no version")
    options.folder.mkdir(parents=True, exist_ok=True)
    key = _release_key(options.key or options.folder / "release.key")
    packing = QUICK if options.quick else SMALL
    for name in names:
        began = time.monotonic()
        try:
            made = build(options.version, ALL[name], options.folder.resolve(), _epoch(), key, packing=packing)
        except (NotBuilt, KosError) as error:
            print(f"make deb: {error}", file=sys.stderr)
            return 1
        size = made.stat().st_size / 1e6
        print(
            f"{made.relative_to(ROOT) if made.is_relative_to(ROOT) else made}: {size:.1f} MB, "
            f"{time.monotonic() - began:.0f} s",
            flush=True,
        )
    return 0


def _release_key(path: Path) -> KeyPair:
    if not path.exists():
        write_key(path, KeyPair.generate(os.urandom))
        print(f"made {path}: whoever has it can make packages that your machines take for yours", flush=True)
    return read_key(path)


def _epoch() -> int:
    """SOURCE_DATE_EPOCH, or when the last commit was made."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    asked = subprocess.run(["git", "log", "-1", "--format=%ct"], cwd=ROOT, capture_output=True, text=True)
    return int(asked.stdout.strip() or 0)


def _pin() -> None:
    found = {canonical(each.metadata["Name"]): each.version for each in closure()}
    lines = [f"{name}=={version}\n" for name, version in sorted(found.items()) if name != NAME]
    PINS.write_text(_HEAD + "".join(lines))


if __name__ == "__main__":
    sys.exit(main())
