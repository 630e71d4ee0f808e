"""The manifest: what was sealed is known again, what differs is named, and nobody else's seal counts."""

from __future__ import annotations

import hashlib

import pytest
from cddl_verifier import Validator

from kos_edge.bootstrap.manifest import MAX_FILES, Entry, Kind, compare, link_entry, read, seal
from kos_edge.errors import Invalid, Refused
from kos_edge.klp import cbor, cose
from kos_edge.klp.cose import Typ
from kos_edge.klp.identity import KeyPair
from tests.vectors.check_cddl import PROTOCOL

KEY = KeyPair.from_seed(bytes(range(32)))
ANCHORS = {KEY.public: "the release"}
AT = 1_800_000_000


def entry(path: str, content: bytes = b"", kind: Kind = Kind.FILE) -> Entry:
    return Entry(path, kind, len(content), hashlib.sha256(content).digest())


FILES = [
    entry("lib/agent.py", b"print()"),
    entry("bin/kos-edge", b"#!", Kind.EXECUTABLE),
    link_entry("bin/python", b"python3"),
]
SEALED = seal(FILES, "1.2.3", KEY, at=AT)


def test_what_was_sealed_is_read_again_with_who_signed_it() -> None:
    manifest = read(SEALED, ANCHORS)
    assert (manifest.version, manifest.at, manifest.signer) == ("1.2.3", AT, "the release")
    assert list(manifest.files) == ["bin/kos-edge", "bin/python", "lib/agent.py"]
    assert compare(manifest, FILES).sound


def test_it_has_the_form_that_is_written_down() -> None:
    validator = Validator(PROTOCOL / "bootstrap.cddl")
    assert validator.validate(SEALED, "manifest", require_deterministic=True)
    other = cose.sign1(b"\xa0", Typ.MANIFEST, KEY, external_aad=b"", unprotected={4: KEY.kid})
    assert not validator.validate(other, "manifest", require_deterministic=True)


def test_the_order_of_the_files_changes_nothing() -> None:
    assert seal(reversed(FILES), "1.2.3", KEY, at=AT) == SEALED


def test_each_difference_is_named() -> None:
    manifest = read(SEALED, ANCHORS)
    there = [
        entry("lib/agent.py", b"import os"),
        entry("bin/kos-edge", b"#!", Kind.EXECUTABLE),
        entry("x.pth"),
    ]
    report = compare(manifest, there, loose=["lib"])
    assert not report.sound
    assert (report.missing, report.changed, report.added) == (("bin/python",), ("lib/agent.py",), ("x.pth",))
    assert report.words() == (
        "missing: bin/python; changed: lib/agent.py; added: x.pth; writable by anybody: lib"
    )


@pytest.mark.parametrize(
    "now",
    [
        entry("bin/kos-edge", b"#!", Kind.FILE),
        entry("bin/kos-edge", b"#?", Kind.EXECUTABLE),
        link_entry("bin/kos-edge", b"#!"),
        Entry("bin/kos-edge", Kind.OTHER, 0, bytes(32)),
    ],
)
def test_another_content_or_another_kind_is_a_change(now: Entry) -> None:
    report = compare(read(SEALED, ANCHORS), [*FILES[:1], now, *FILES[2:]])
    assert report.changed == ("bin/kos-edge",)


def test_a_manifest_of_a_stranger_is_refused_with_the_next_step() -> None:
    stranger = KeyPair.from_seed(bytes(32))
    with pytest.raises(Refused, match="nothing here names as an anchor") as refused:
        read(seal(FILES, "1", stranger, at=AT), ANCHORS)
    assert "trust-anchors" in (refused.value.hint or "")


def test_one_flipped_bit_anywhere_is_noticed() -> None:
    for at in range(len(SEALED)):
        flipped = bytearray(SEALED)
        flipped[at] ^= 1
        with pytest.raises((Invalid, Refused)):
            read(bytes(flipped), ANCHORS)


def test_what_the_key_signed_for_another_purpose_is_no_manifest() -> None:
    payload = cose.read_sign1(SEALED).payload
    for typ, context in ((Typ.POLICY, b"kos-edge installed files"), (Typ.MANIFEST, bytes(32))):
        data = cose.sign1(payload, typ, KEY, external_aad=context, unprotected={4: KEY.kid})
        with pytest.raises(Invalid):
            read(data, ANCHORS)


@pytest.mark.parametrize(
    "path", ["", "/etc/passwd", "../up", "a/../../up", "./a", "a//b", "a/", "nul\0", "x" * 1_025, "\udcff"]
)
def test_a_path_that_leads_elsewhere_is_not_sealed(path: str) -> None:
    with pytest.raises(Invalid):
        seal([entry(path)], "1", KEY, at=AT)


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        {1: "1", 2: AT},
        {1: "", 2: AT, 3: [["a", 0, 0, bytes(32)]]},
        {1: "1", 2: -1, 3: [["a", 0, 0, bytes(32)]]},
        {1: "1", 2: AT, 3: []},
        {1: "1", 2: AT, 3: [["a", 3, 0, bytes(32)]]},
        {1: "1", 2: AT, 3: [["a", True, 0, bytes(32)]]},
        {1: "1", 2: AT, 3: [["a", 0, 0, bytes(31)]]},
        {1: "1", 2: AT, 3: [["b", 0, 0, bytes(32)], ["a", 0, 0, bytes(32)]]},
        {1: "1", 2: AT, 3: [["a", 0, 0, bytes(32)], ["a", 0, 0, bytes(32)]]},
    ],
)
def test_a_list_that_breaks_the_form_is_refused_though_it_is_signed(value: object) -> None:
    data = cose.sign1(
        cbor.encode(value),
        Typ.MANIFEST,
        KEY,
        external_aad=b"kos-edge installed files",
        unprotected={4: KEY.kid},
    )
    with pytest.raises(Invalid):
        read(data, ANCHORS)


def test_more_files_than_any_installation_has_are_refused() -> None:
    with pytest.raises(Invalid, match="20,000"):
        seal([entry(f"{n:06}") for n in range(MAX_FILES + 1)], "1", KEY, at=AT)


def test_names_that_are_no_text_are_shown_and_never_break_the_report() -> None:
    report = compare(read(SEALED, ANCHORS), [*FILES, entry("\udcff\udcfe.pth")])
    assert report.words() == "added: \\udcff\\udcfe.pth"
