"""An installation on a real file system: sealed, changed in every way, and named."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from kos_edge.errors import Invalid, KosError, Refused, Unavailable
from kos_edge.klp.identity import KeyPair
from kos_edge.node.installed import MANIFEST_NAME, examine, seal

KEY = KeyPair.from_seed(bytes(range(32)))
ANCHORS = {KEY.public: "the release"}


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    root = tmp_path / "releases" / "1.2.3"
    for path, content in {
        "bin/kos-edge": "#!",
        "lib/kos_edge/node.py": "pass",
        "lib/kos_edge/sub/x": "",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    (root / "bin/kos-edge").chmod(0o755)
    (root / "bin/python3").symlink_to("/usr/bin/python3")
    (root / "lib64").symlink_to("lib")
    (root / MANIFEST_NAME).write_bytes(seal(root, "1.2.3", KEY))
    return root


def test_an_installation_that_nobody_touched_is_sound_and_sealing_again_gives_the_same(tree: Path) -> None:
    report = examine(tree, ANCHORS)
    assert report.sound
    assert set(report.manifest.files) == {
        "bin/kos-edge", "bin/python3", "lib/kos_edge/node.py", "lib/kos_edge/sub/x", "lib64",
    }  # fmt: skip
    assert seal(tree, "1.2.3", KEY, at=report.manifest.at) == (tree / MANIFEST_NAME).read_bytes()


def _link(root: Path) -> None:
    (root / "bin/python3").unlink()
    (root / "bin/python3").symlink_to("/tmp/python3")


def _bytecode(root: Path) -> None:
    folder = root / "lib/kos_edge/__pycache__"
    folder.mkdir()
    (folder / "node.cpython-311.pyc").write_bytes(b"evil")


CHANGES: dict[str, Callable[[Path], object]] = {
    "changed: lib/kos_edge/node.py": lambda root: (root / "lib/kos_edge/node.py").write_text("evil"),
    "changed: lib/kos_edge/sub/x": lambda root: (root / "lib/kos_edge/sub/x").write_text("more"),
    "changed: bin/kos-edge": lambda root: (root / "bin/kos-edge").chmod(0o644),
    "changed: bin/python3": _link,
    "missing: lib64": lambda root: (root / "lib64").unlink(),
    "added: lib/evil.pth": lambda root: (root / "lib/evil.pth").write_text("import os"),
    "added: lib/kos_edge/link": lambda root: (root / "lib/kos_edge/link").symlink_to("."),
    "added: pipe": lambda root: os.mkfifo(root / "pipe"),
    "added: lib/kos_edge/__pycache__/node.cpython-311.pyc": _bytecode,
    "added: lib/kos-edge.manifest": lambda root: (root / "lib" / MANIFEST_NAME).write_bytes(b""),
    "writable by anybody: lib/kos_edge/node.py": lambda root: (root / "lib/kos_edge/node.py").chmod(0o646),
    "writable by anybody: lib/kos_edge": lambda root: (root / "lib/kos_edge").chmod(0o757),
    "writable by anybody: .": lambda root: root.chmod(0o757),
}


@pytest.mark.parametrize("said", CHANGES)
def test_every_change_is_named(tree: Path, said: str) -> None:
    CHANGES[said](tree)
    report = examine(tree, ANCHORS)
    assert not report.sound
    assert report.words() == said


def _cut(root: Path) -> None:
    path = root / MANIFEST_NAME
    path.write_bytes(path.read_bytes()[:-1])


def _by_a_stranger(root: Path) -> None:
    (root / MANIFEST_NAME).write_bytes(seal(root, "1.2.3", KeyPair.from_seed(bytes(32))))


@pytest.mark.parametrize(
    ("spoil", "error"),
    [
        (lambda root: (root / MANIFEST_NAME).unlink(), Unavailable),
        (_cut, Invalid),
        (_by_a_stranger, Refused),
        (lambda root: (root / MANIFEST_NAME).write_bytes(bytes(9 << 20)), Invalid),
    ],
    ids=["gone", "cut off", "of a stranger", "endless"],
)
def test_a_manifest_that_does_not_count_is_an_error(
    tree: Path, spoil: Callable[[Path], None], error: type[KosError]
) -> None:
    spoil(tree)
    with pytest.raises(error):
        examine(tree, ANCHORS)


def test_what_cannot_be_sealed_is_said(tree: Path) -> None:
    (tree / "lib").chmod(0o757)
    with pytest.raises(Invalid, match="anybody may write lib"):
        seal(tree, "1", KEY)
    (tree / "lib").chmod(0o755)
    os.mkfifo(tree / "pipe")
    with pytest.raises(Invalid, match="pipe is neither a file nor a link"):
        seal(tree, "1", KEY)
    with pytest.raises(Invalid, match="no directory"):
        seal(tree / "nowhere", "1", KEY)


def test_thirty_megabytes_in_three_thousand_files_are_compared_in_a_second(tmp_path: Path) -> None:
    for number in range(3_000):
        path = tmp_path / str(number % 100) / str(number)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(number.to_bytes(2) * 5_000)
    (tmp_path / MANIFEST_NAME).write_bytes(seal(tmp_path, "1", KEY))
    began = time.process_time()
    assert examine(tmp_path, ANCHORS).sound
    assert time.process_time() - began < 1.0
