"""The Merkle tree hash of RFC 9162 section 2.1 with SHA-256: root, inclusion path, and the way back.

Leaves and inner nodes are hashed with different first bytes, so that neither can be presented as the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from kos_edge.errors import Invalid

HASH_BYTES = 32

_LEAF, _NODE = sha256(b"\x00"), sha256(b"\x01")
"""Hashes that have taken their first byte: a copy of one costs less than a new one, and there are two a message."""


def is_hash(value: object) -> bool:
    """Whether a decoded value can be a hash of the tree."""
    return type(value) is bytes and len(value) == HASH_BYTES


def leaf(data: bytes) -> bytes:
    """The hash of one leaf: SHA-256(0x00 || data)."""
    begun = _LEAF.copy()
    begun.update(data)
    return begun.digest()


def root(leaves: Sequence[bytes]) -> bytes:
    """The tree hash over leaf hashes; there must be at least one."""
    level = list(leaves)
    while len(level) > 1:
        level = _parents(level)
    return level[0]


def path(leaves: Sequence[bytes], index: int) -> list[bytes]:
    """What is needed besides leaf `index` to recompute the root, from the leaf upwards (section 2.1.3.1)."""
    steps = []
    level = list(leaves)
    while len(level) > 1:
        beside = index ^ 1
        if beside < len(level):
            steps.append(level[beside])
        level = _parents(level)
        index >>= 1
    return steps


def root_from_path(leaf_hash: bytes, index: int, count: int, steps: Sequence[bytes]) -> bytes:
    """The root that leaf `index` of `count` leads to; Invalid if the path is not as long as the tree asks."""
    if not 0 <= index < count:
        raise Invalid("an inclusion path for a leaf that is outside of the tree")
    node = leaf_hash
    rest = iter(steps)
    last = count - 1
    try:
        while last:
            if index & 1:
                node = _parent(next(rest) + node)
            elif index < last:
                node = _parent(node + next(rest))
            index >>= 1
            last >>= 1
    except StopIteration:
        raise Invalid("an inclusion path that is too short") from None
    if next(rest, None) is not None:
        raise Invalid("an inclusion path that is too long")
    return node


def _parent(pair: bytes) -> bytes:
    """The hash of an inner node: SHA-256(0x01 || left || right)."""
    begun = _NODE.copy()
    begun.update(pair)
    return begun.digest()


def _parents(level: list[bytes]) -> list[bytes]:
    parents, copy = [], _NODE.copy
    for left, right in zip(
        level[::2], level[1::2], strict=False
    ):  # `_parent` without its call: one for each message
        begun = copy()
        begun.update(left + right)
        parents.append(begun.digest())
    if len(level) & 1:
        parents.append(level[-1])
    return parents
