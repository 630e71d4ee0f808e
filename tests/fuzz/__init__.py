"""Hostile bytes for everything that reads bytes.

A target is a function `fuzz_<name>(data: bytes) -> None` in a module `targets_<area>.py` of this folder. It
feeds `data` to one decoder and asserts what must hold of whatever comes out; its docstring states that
invariant. It may raise `kos_edge.errors.Invalid`, which is what a decoder is for; anything else that escapes
is a finding, and so is taking longer than a second. A module may have `SEEDS`, a list of bytes to begin with
beside the vectors.

`make fuzz SECONDS=60` runs all targets for that long; the tests run a fixed share of each.
"""
