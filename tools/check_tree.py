"""What must not be in the tree: `python tools/check_tree.py` prints each place, and fails if there is one."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
LONGEST = 500
"""Lines of a Python file that still holds one idea; the stranger's client is one plain script on purpose."""


@dataclass(frozen=True, slots=True)
class Rule:
    """A pattern that no line may match, in files whose path matches `where`."""

    why: str
    pattern: re.Pattern[str]
    where: re.Pattern[str]


RULES = (
    Rule(
        "names the host of a package registry; packages come from wherever this machine is set to get them",
        re.compile(r"\b(?:pypi|pythonhosted|piwheels|npmjs|debian)\.(?:org|com|io|net)\b"),
        re.compile(r""),
    ),
    Rule(
        "names a path of one particular machine",
        re.compile(r"(?<![\w.])/(?:work|root)/\w"),
        re.compile(r""),
    ),
    Rule(
        "leaves work for later; do it, or file an issue",
        re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|XX" + r"X)\b"),
        re.compile(r"\.(?:py|sh|toml|md|c|h)$"),
    ),
    Rule(
        "sleeps for real; hand the machine its clock, or wait for a fact",
        re.compile(r"\btime\.sleep\("),
        re.compile(
            r"^(?:tests/(?!e2e/|stranger/|system/|faults/r\d\d_booted)|kos_edge/|firmware_bridge/).*\.py$"
        ),
    ),
)


def files() -> Iterator[str]:
    """Paths of what is in the tree or could be added to it."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return (path for path in listed.split("\0") if path and (ROOT / path).is_file())


def complaints(path: str) -> Iterator[str]:
    """What is wrong with one file."""
    try:
        lines = (ROOT / path).read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError:
        return
    rules = [rule for rule in RULES if rule.where.search(path)]
    for number, line in enumerate(lines, 1):
        for rule in rules:
            if rule.pattern.search(line):
                yield f"{path}:{number}: {rule.why}"
    if path.endswith(".py") and not path.startswith("tests/stranger/") and len(lines) > LONGEST:
        yield f"{path}: {len(lines)} lines; more than {LONGEST} hold more than one idea"


def shared_numbers(paths: list[str]) -> Iterator[str]:
    """Decision records that have one number: whoever names one could mean either."""
    records = sorted(path for path in paths if re.match(r"docs/adr/\d{4}-", path))
    for one, other in pairwise(records):
        if one[:13] == other[:13]:
            yield f"{other}: has the number of {one}"


def main() -> int:
    paths = list(files())
    found = [complaint for path in paths for complaint in complaints(path)]
    found += shared_numbers(paths)
    print("\n".join(found) or "nothing to complain about")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
