"""A diagnosis in one file: a tar.gz with a manifest that the node's key has signed.

manifest = COSE_Sign1, typ 65012, external_aad "kos-edge diagnosis": {1: public key, 2: seconds since 1970 / null,
           3: version, 4: {name: [size, SHA-256]}}
"""

from __future__ import annotations

import hashlib
import io
import tarfile
import zlib
from dataclasses import dataclass

from kos_edge import __version__
from kos_edge.errors import Invalid
from kos_edge.klp import cbor, cose
from kos_edge.klp.identity import KeyPair, kid_of, kid_text

MANIFEST = "manifest.cose"
_GZIP = 16 + zlib.MAX_WBITS
FOLDER = "kos-edge-diag"
AAD = b"kos-edge diagnosis"
MAX_FILE = 1 << 20
"""Bytes of one file in it; the end of a longer one, for that is the newest."""

MAX_FILES = 32
MAX_BUNDLE = 8 << 20
MAX_UNPACKED = MAX_FILES * (MAX_FILE + 4_096)
"""Bytes of it when it is not compressed any more: whoever sends one must not fill the memory of whoever helps."""


@dataclass(frozen=True, slots=True)
class Verified:
    """Who signed a bundle, and when by its clock."""

    kid: str
    public: str
    at: int | None
    version: str
    files: tuple[str, ...]


def pack(files: dict[str, bytes], key: KeyPair | None, at: int | None) -> bytes:
    """The bundle; without a key there is no manifest in it."""
    files = {name: data[-MAX_FILE:] for name, data in list(files.items())[:MAX_FILES]}
    if key is not None:
        listed = {name: [len(data), hashlib.sha256(data).digest()] for name, data in files.items()}
        payload = cbor.encode({1: key.public, 2: at, 3: __version__, 4: listed})
        files = {MANIFEST: cose.sign1(payload, cose.Typ.DIAGNOSIS, key, external_aad=AAD), **files}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz", format=tarfile.PAX_FORMAT) as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{FOLDER}/{name}")
            member.size, member.mode, member.mtime = len(data), 0o600, at or 0
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def verify(data: bytes) -> Verified:
    """Who signed all of this. Raises Invalid where nobody has, or something is missing, changed or added."""
    if len(data) > MAX_BUNDLE:
        raise Invalid(f"a diagnosis has at most {MAX_BUNDLE:,} bytes")
    files = _files(data)
    if MANIFEST not in files:
        raise Invalid("it is not signed: the node that made it could not read its key")
    signed = cose.read_sign1(files.pop(MANIFEST))
    match cbor.decode(signed.payload):
        case {1: bytes(public), 2: at, 3: str(version), 4: dict(listed), **rest} if (
            not rest and len(public) == 32
        ):
            signed.verify(public, typ=cose.Typ.DIAGNOSIS, external_aad=AAD)
        case _:
            raise Invalid("its manifest is damaged")
    found = {name: [len(each), hashlib.sha256(each).digest()] for name, each in files.items()}
    if found != listed:
        wrong = sorted(str(name) for name in {*found, *listed} if found.get(name) != listed.get(name))
        raise Invalid(f"what was signed is another: {', '.join(wrong)[:200]}")
    when = at if type(at) is int else None
    return Verified(kid_text(kid_of(public)), public.hex(), when, version[:40], tuple(files))


def _files(data: bytes) -> dict[str, bytes]:
    files: dict[str, bytes] = {}
    try:
        unzip = zlib.decompressobj(_GZIP)
        plain = unzip.decompress(data, MAX_UNPACKED)
        if not unzip.eof or unzip.unused_data:
            raise Invalid("it is damaged: it is cut off, or longer than any diagnosis")
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
            for member in archive:
                name = member.name.removeprefix(f"{FOLDER}/")
                if not member.isreg() or member.size > MAX_FILE or len(files) > MAX_FILES or name in files:
                    raise Invalid("this is no diagnosis of kos-edge")
                content = archive.extractfile(member)
                files[name] = b"" if content is None else content.read(MAX_FILE)
    except (tarfile.TarError, zlib.error, EOFError, OSError) as error:
        raise Invalid(f"it is damaged: {str(error)[:100]}") from None
    return files
