"""A stranger: a client of a kos-edge hub that was written from the RFCs and docs/protocol, and shares no code with it.

It joins a mesh with a key that the hub was told of (`kos-edge allow PUBLIC_KEY_HEX`), delivers one reading, checks the
receipt, delivers the same pack again, and prints one line of JSON. Run again with the same key, it goes on where it
was: what it has to remember (its membership, where its stream stands) is in KEY.state.json.

    python client.py --key my.key                        # makes a key, prints the public one for `kos-edge allow`
    python client.py --key my.key --hub 192.0.2.1:5683 --mesh HEX --topic air.temperature --value 21.5 --unit Cel

Needed: Python 3.11, cryptography, cbor2. EDHOC (RFC 9528), OSCORE (RFC 8613), CoAP over UDP (RFC 7252).
"""

import argparse
import json
import os
import secrets
import socket
import struct
import time
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any

from cbor2 import CBORDecoder
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

KCWT, KCCS, AUTHORITY = 13, 14, -65537  # labels that show a membership, a bare key, an authority
HUB, EDGE, DURABLE = 0, 1, 5  # audience and role; class
PADDING_1 = 210  # zero bytes in EAD_1: they pay for the length of message_2


class Refused(Exception):
    """What came breaks a rule, or the hub says no."""


def need(condition: bool, why: str) -> None:
    if not condition:
        raise Refused(why)


# ---- CBOR in its one encoding, RFC 8949 section 4.2.1: cbor2 reads, but it sorts maps in another order ----


def encode(value: Any) -> bytes:
    match value:
        case None | bool():
            return {False: b"\xf4", True: b"\xf5", None: b"\xf6"}[value]
        case int():
            return head(0, value) if value >= 0 else head(1, -1 - value)
        case float():
            for start, form in ((b"\xf9", ">e"), (b"\xfa", ">f")):
                if abs(value) < 65520 and struct.unpack(form, struct.pack(form, value))[0] == value:
                    return start + struct.pack(form, value)
            return b"\xfb" + struct.pack(">d", value)
        case bytes():
            return head(2, len(value)) + value
        case str():
            return head(3, len(value.encode())) + value.encode()
        case list() | tuple():
            return head(4, len(value)) + sequence(*value)
        case dict():
            return head(5, len(value)) + b"".join(sorted(sequence(*pair) for pair in value.items()))
    raise Refused(f"nothing that we encode: {value!r}")


def head(major: int, number: int) -> bytes:
    if number < 24:
        return bytes([major << 5 | number])
    power = next(power for power in range(4) if number < 1 << (8 << power))
    return bytes([major << 5 | 24 + power]) + number.to_bytes(1 << power, "big")


def sequence(*items: Any) -> bytes:
    return b"".join(map(encode, items))


def decode_sequence(data: bytes) -> list[Any]:
    stream, items = BytesIO(data), []
    decoder = CBORDecoder(stream, read_size=1)
    try:
        while stream.tell() < len(data):
            items.append(decoder.decode())
    except Exception as error:  # cbor2 has many kinds
        raise Refused(f"not CBOR: {error}") from None
    need(sequence(*items) == data, "not deterministic CBOR")
    return items


def decode(data: bytes) -> Any:
    items = decode_sequence(data)
    need(len(items) == 1, "not one CBOR item")
    return items[0]


# ---- who is who: membership.md ----

P = 2**255 - 19
SMALL_ORDER = {y.to_bytes(32, "little") for y in (0, 1, P - 1)} | {
    bytes.fromhex("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"),
    bytes.fromhex("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"),
}


def kid_of(public: bytes) -> bytes:
    return sha256(public).digest()[:16]


def verify(public: bytes, signature: bytes, data: bytes, what: str) -> None:
    y = public[:31] + bytes([public[31] & 0x7F])  # without the sign of x
    need(int.from_bytes(y, "little") < P and y not in SMALL_ORDER, f"{what}: a bad key")
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        raise Refused(f"{what}: the signature does not verify") from None


def verify_signed(array: Any, typ: int, signer: bytes, mesh: bytes) -> Any:
    """What the payload of a COSE_Sign1 holds (section 3)."""
    protected, _, payload, signature = array
    need(protected == encode({1: -8, 16: typ}), "protected header")
    verify(signer, signature, encode(["Signature1", protected, mesh, payload]), f"typ {typ}")
    return decode(payload)


def authority_keys(shown: Any, mesh: bytes) -> list[bytes]:
    """All the keys that the authority ever had, the current one last (section 5)."""
    first, *rotations = [shown] if isinstance(shown, bytes) else shown
    need(sha256(first).digest() == mesh, "that is another mesh")
    keys = [first]
    for number, rotation in enumerate(map(decode, rotations), 1):
        said = verify_signed(rotation, 65005, keys[-1], mesh)
        need(rotation[1] == {} and set(said) == {1, 2, 3} and said[3] == number <= 8, "rotation")
        need(said[1] not in keys, "rotation to an earlier key")
        keys.append(said[1])
    return keys


def verify_membership(array: Any, mesh: bytes) -> tuple[dict[int, Any], list[bytes]]:
    """The claims, and the authority's keys (section 4.1). We know of no revocations, and no time but our own."""
    ((label, shown),) = array[1].items()
    if label == AUTHORITY:
        issuer, keys = None, authority_keys(shown, mesh)
        signer, namespace = keys[-1], "authority"
    else:
        need(label == KCWT and list(shown[1]) == [AUTHORITY], "no chain of two links")
        issuer, keys = verify_membership(shown, mesh)
        signer, namespace = issuer[8][1][-2], issuer[-65539]
    claims = verify_signed(array, 65002, signer, mesh)
    need(set(claims) == {1, 2, 4, 5, 6, 7, 8, -65537, -65538, -65539}, "claims")
    role, may_issue, public = claims[-65537], "issue" in claims[-65538], claims[8][1][-2]
    need(claims[1] == f"kid:{namespace}:{kid_of(signer).hex()}", "iss is not the signer")
    need(0 <= claims[5] <= claims[6] < claims[4] and len(claims[7]) == 8, "times or cti")
    need(claims[8] == {1: {1: 1, -1: 6, -2: public}}, "cnf")
    need(claims[-65539] in ("agent", "device", "service", "user"), "namespace")
    need(public not in (signer, *keys), "a membership of its own signer")
    if issuer is None:
        need(role == HUB and may_issue, "the authority signs issuers only")
    else:
        need(role in (1, 2, 3) and not may_issue and claims[4] <= issuer[4], "more than an issuer may give")
    return claims, keys


# ---- CoAP over UDP, RFC 7252: as much as a client needs ----

CON, NON, ACK = 0, 1, 2
GET, POST, CHANGED, CONTENT, UNAUTHORIZED, NOT_FOUND = 0x01, 0x02, 0x44, 0x45, 0x81, 0x84
OSCORE, PATH, FORMAT, ECHO = 9, 11, 12, 252
Options = list[tuple[int, bytes]]


def write_options(options: Options, payload: bytes) -> bytes:
    out, last = b"", 0
    for number, value in sorted(options, key=lambda option: option[0]):
        sizes = [number - last, len(value)]  # ours are below 269
        out += bytes([min(sizes[0], 13) << 4 | min(sizes[1], 13)])
        out, last = out + bytes(size - 13 for size in sizes if size >= 13) + value, number
    return out + (b"\xff" + payload if payload else b"")


def read_options(data: bytes) -> tuple[Options, bytes]:
    options: Options = []
    number, stream = 0, BytesIO(data)
    while (first := stream.read(1)) not in (b"", b"\xff"):
        sizes = [first[0] >> 4, first[0] & 15]
        for at, nibble in enumerate(sizes):
            if nibble >= 13:
                sizes[at] = int.from_bytes(stream.read(nibble - 12), "big") + (13 if nibble == 13 else 269)
        number += sizes[0]
        options.append((number, stream.read(sizes[1])))
    return options, stream.read()


class Coap:
    def __init__(self, host: str, port: int) -> None:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self.socket = socket.socket(family, kind)
        self.socket.connect(address)
        self.mid = secrets.randbelow(2**15)
        self.serve: Callable[[Options, bytes], bytes | None] = lambda options, payload: None

    def post(self, kind: int, build: Callable[[], bytes], accept: Callable[..., Any]) -> Any:
        """Send what `build` makes, until `accept` takes an answer. A confirmable message is repeated as it was."""
        token, rest = secrets.token_bytes(4), b""
        for attempt in range(5):
            if not rest or kind == NON:
                self.mid, rest = self.mid + 1, build()
            self.socket.send(struct.pack(">BBH", 0x44 | kind << 4, POST, self.mid) + token + rest)
            deadline = time.monotonic() + 2 * 1.5**attempt
            while (left := deadline - time.monotonic()) > 0:
                self.socket.settimeout(left)
                try:
                    data = self.socket.recv(65536)
                except (TimeoutError, ConnectionRefusedError):
                    time.sleep(min(left, 0.05))
                    continue
                its_kind, its_code, after = data[0] >> 4 & 3, data[1], 4 + (data[0] & 15)
                options, payload = read_options(data[after:])
                if its_code == POST and (answer := self.serve(options, payload)):
                    kind_back = ACK if its_kind == CON else NON
                    self.socket.send(
                        bytes([0x40 | kind_back << 4 | data[0] & 15, CHANGED]) + data[2:after] + answer
                    )
                elif its_code >= 0x40 and data[4:after] == token:
                    if its_kind == CON:
                        self.socket.send(bytes([0x40 | ACK << 4, 0]) + data[2:4])
                    if (result := accept(its_code, options, payload)) is not None:
                        return result
        raise TimeoutError("the hub does not answer")

    def edhoc(self, payload: bytes) -> bytes:
        """POST to /.well-known/edhoc; once more with an Echo value, if the hub asks for that."""
        options = [(PATH, b".well-known"), (PATH, b"edhoc"), (FORMAT, bytes([65]))]
        for _ in range(3):
            rest = write_options(options, payload)
            code, said, answer = self.post(CON, lambda: rest, lambda *all: all)  # noqa: B023
            echo = [option for option in said if option[0] == ECHO]
            if code != UNAUTHORIZED or not echo:
                break
            options[3:] = echo
        items = decode_sequence(answer)
        need(code == CHANGED and len(items) == 1, f"handshake: {code >> 5}.{code & 31:02} {items}")
        return bytes(items[0])


# ---- OSCORE, RFC 8613, with AES-CCM-16-64-128: transport.md ----


def aead(key: bytes) -> AESCCM:
    return AESCCM(key, tag_length=8)


class Session:
    def __init__(self, coap: Coap, sender: bytes, recipient: bytes, secret: bytes, salt: bytes) -> None:
        def derive(ident: bytes, what: str, length: int) -> bytes:
            return HKDF(SHA256(), length, salt, encode([ident, None, 10, what, length])).derive(secret)

        self.coap, self.sender, self.recipient, self.number = coap, sender, recipient, 0
        self.sender_key, self.recipient_key = derive(sender, "Key", 16), derive(recipient, "Key", 16)
        self.common_iv = derive(b"", "IV", 13)
        coap.serve = self.serve

    def nonce_and_aad(self, ident: bytes, piv: bytes) -> tuple[bytes, bytes]:
        """Those of a request. Its response uses the same ones."""
        plain = bytes([len(ident)]) + ident.rjust(7, b"\0") + piv.rjust(5, b"\0")
        nonce = bytes(a ^ b for a, b in zip(plain, self.common_iv, strict=True))
        return nonce, encode(["Encrypt0", b"", encode([1, [10], ident, piv, b""])])

    def post(self, path: str, body: bytes) -> Any:
        """What the answer holds. A request that is sent again is protected anew, or it would be a replay."""
        sent: list[tuple[bytes, bytes]] = []

        def protect() -> bytes:
            piv = self.number.to_bytes(max(1, (self.number.bit_length() + 7) // 8), "big")
            self.number += 1
            sent.append(self.nonce_and_aad(self.sender, piv))
            plaintext = bytes([POST]) + write_options([(PATH, path.encode())], body)
            ciphertext = aead(self.sender_key).encrypt(sent[-1][0], plaintext, sent[-1][1])
            return write_options([(OSCORE, bytes([0x08 | len(piv)]) + piv + self.sender)], ciphertext)

        def unprotect(code: int, options: Options, payload: bytes) -> tuple[int, bytes] | None:
            for nonce, aad in sent if (OSCORE, b"") in options else []:  # anything else proves nothing
                try:
                    plaintext = aead(self.recipient_key).decrypt(nonce, payload, aad)
                except InvalidTag:
                    continue
                return plaintext[0], read_options(plaintext[1:])[1]
            return None

        code, answer = self.coap.post(NON, protect, unprotect)
        need(code == CHANGED, f"POST /{path}: {code >> 5}.{code & 31:02}")
        return decode(answer)

    def serve(self, options: Options, payload: bytes) -> bytes | None:
        """Our answer to a request of the hub's: we live, and hold nothing. (Repeated, it is the same bytes.)"""
        flags, rest = (value := dict(options).get(OSCORE) or b"\0")[0], value[1:]
        nonce, aad = self.nonce_and_aad(self.recipient, rest[: flags & 7])
        try:
            request = aead(self.recipient_key).decrypt(nonce, payload, aad)
        except InvalidTag:
            return None
        path = b"/".join(value for number, value in read_options(request[1:])[0] if number == PATH)
        nothing = {b"trust": encode({1: {}, 2: []}), b"sync": encode({1: [], 2: 0})}
        code = CONTENT if request == bytes([GET]) else CHANGED if path in nothing else NOT_FOUND
        response = bytes([code]) + write_options([], nothing.get(path, b""))
        return write_options([(OSCORE, b"")], aead(self.sender_key).encrypt(nonce, response, aad))


# ---- EDHOC, RFC 9528: the initiator, method 0, suite 0: bootstrap.md ----


def kdf(prk: bytes, label: int, context: bytes, length: int) -> bytes:
    return HKDFExpand(SHA256(), length, sequence(label, context, length)).derive(prk)


def to_sign(id_cred: bytes, th: bytes, cred: bytes, ead: bytes, mac: bytes) -> bytes:
    return encode(["Signature1", id_cred, encode(th) + cred + ead, mac])


def ead_items(items: list[Any]) -> dict[int, bytes]:
    known = {}
    while items:
        label = items.pop(0)
        known[label] = items.pop(0) if items and isinstance(items[0], bytes) else b""
        need(label >= 0, "a critical item that we do not understand")
    return known


def handshake(
    coap: Coap, key: Ed25519PrivateKey, credential: Any, mesh: bytes, wish: bytes = b""
) -> tuple[Session, Any, dict[int, bytes]]:
    """Show `credential`, with `wish` in EAD_3, to a hub of the mesh: the session, the hub's claims, EAD_4."""
    x, c_i = X25519PrivateKey.generate(), 5  # one session at a time, so any identifier will do
    message_1 = sequence(0, 0, x.public_key().public_bytes_raw(), c_i, 0, bytes(PADDING_1))
    message_2 = coap.edhoc(encode(True) + message_1)

    g_y, ciphertext_2 = message_2[:32], message_2[32:]
    shared = x.exchange(X25519PublicKey.from_public_bytes(g_y))  # raises where it is all zero
    th_2 = sha256(sequence(g_y, sha256(message_1).digest())).digest()
    prk = HKDF.extract(SHA256(), th_2, shared)  # PRK_2e, PRK_3e2m and PRK_4e3m are one in method 0
    keystream = kdf(prk, 0, th_2, len(ciphertext_2))
    plaintext_2 = bytes(a ^ b for a, b in zip(ciphertext_2, keystream, strict=True))
    c_r, shown, signature_2, *ead = decode_sequence(plaintext_2)
    need(isinstance(shown, dict) and list(shown) == [KCWT], "the hub shows no membership")
    id_cred_r, cred_r, ead_2 = encode(shown), encode(shown[KCWT]), sequence(*ead)
    mac_2 = kdf(prk, 2, encode(c_r) + id_cred_r + encode(th_2) + cred_r + ead_2, 32)
    hub, _ = verify_membership(shown[KCWT], mesh)
    verify(hub[8][1][-2], signature_2, to_sign(id_cred_r, th_2, cred_r, ead_2, mac_2), "message_2")
    need("issue" in hub[-65538], "that is a member, but no hub")
    ead_items(ead)

    th_3 = sha256(encode(th_2) + plaintext_2 + cred_r).digest()
    id_cred_i, cred_i = encode(credential), sequence(*credential.values())
    ead_3 = wish
    mac_3 = kdf(prk, 6, id_cred_i + encode(th_3) + cred_i + ead_3, 32)
    plaintext_3 = id_cred_i + encode(key.sign(to_sign(id_cred_i, th_3, cred_i, ead_3, mac_3))) + ead_3
    aad_3 = encode(["Encrypt0", b"", th_3])
    message_3 = aead(kdf(prk, 3, th_3, 16)).encrypt(kdf(prk, 4, th_3, 13), plaintext_3, aad_3)
    message_4 = coap.edhoc(sequence(c_r, message_3))

    th_4 = sha256(encode(th_3) + plaintext_3 + cred_i).digest()
    aad_4 = encode(["Encrypt0", b"", th_4])
    ead_4 = aead(kdf(prk, 8, th_4, 16)).decrypt(kdf(prk, 9, th_4, 13), message_4, aad_4)
    exporter = kdf(kdf(prk, 7, th_4, 32), 10, b"", 32)
    sender = c_r if isinstance(c_r, bytes) else encode(c_r)  # an integer stands for its encoding
    session = Session(coap, sender, encode(c_i), kdf(exporter, 0, b"", 16), kdf(exporter, 1, b"", 8))
    return session, hub, ead_items(decode_sequence(ead_4))


# ---- packs and receipts: klp.md, delivery.md ----


def seal(
    key: Ed25519PrivateKey, mesh: bytes, stream: list[Any], prev: Any, entry: list[Any], values: list[Any]
) -> tuple[bytes, bytes]:
    """A pack with one reading, the first of its stream; and its chain hash. Its names and units are in the header."""
    message = encode([0, 0, 0, *values])
    clocks = [int(time.monotonic() * 1000), int(time.time() * 1000), 1000]
    header = encode([1, *stream, 1, prev, *clocks, [entry]])
    protected = encode({1: -8, 16: 65001})
    external_aad = mesh + (1).to_bytes(2, "big") + sha256(b"\0" + message).digest()
    signed = [protected, {}, header, key.sign(encode(["Signature1", protected, external_aad, header]))]
    return encode([signed, [message]]), sha256(encode(signed)).digest()[:16]


def deliver(session: Session, pack: bytes, stream: list[Any], age: int | None) -> dict[str, int]:
    """Ship the pack with number 1 of this stream; the receipt, if it says that the hub has it on disk."""
    answer = session.post("klp", encode([[age, pack]]))
    receipts = [receipt for receipt in answer[1] if receipt[:4] == stream]  # others of ours may come with it
    need(len(receipts) == 1, f"no receipt: {answer}")
    held, _, refusals, reach = receipts[0][4:]
    need(not refusals and held >= 1 and reach == 2, f"not taken: {receipts[0]}")
    return {"held": held, "reach": reach}


# ---- what it does ----


def save(path: Path, content: str) -> None:
    """All of it or nothing, and on disk when this returns."""
    with open(os.open(new := f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(new, path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Deliver one reading to a kos-edge hub.")
    parser.add_argument(
        "--key", type=Path, required=True, help="file of our Ed25519 key, made where there is none"
    )
    parser.add_argument("--hub", help="HOST:PORT; without it the public key is printed, and that is all")
    parser.add_argument("--mesh", type=bytes.fromhex, help="the mesh id, 64 hexadecimal digits")
    parser.add_argument("--topic", default="air.temperature")
    parser.add_argument("--value", type=float, default=21.5)
    parser.add_argument("--unit", default="Cel")
    parser.add_argument("--name", default="stranger", help="the name that we would like")
    args = parser.parse_args()

    if not args.key.exists():
        save(args.key, secrets.token_hex(32))
    key = Ed25519PrivateKey.from_private_bytes(bytes.fromhex(args.key.read_text()))
    public = key.public_key().public_bytes_raw()
    if not args.hub:
        return print(json.dumps({"public": public.hex(), "kid": kid_of(public).hex()}))
    remembered = Path(f"{args.key}.state.json")
    state: dict[str, Any] = {"membership": None, "starts": 0, "stream": None, "end": None, "owed": None}
    state |= json.loads(remembered.read_text()) if remembered.exists() else {}

    # A session: as the member that we are, or as a newcomer who becomes one.
    host, _, port = args.hub.rpartition(":")
    coap, member = Coap(host.strip("[]"), int(port)), state["membership"]
    if member:
        session, hub, said = handshake(coap, key, {KCWT: decode(bytes.fromhex(member))}, args.mesh)
    else:
        kccs = {2: args.name, 8: {1: {1: 1, -1: 6, -2: public}}}
        wish = sequence(65001, encode([args.name, EDGE]))
        session, hub, said = handshake(coap, key, {KCCS: kccs}, args.mesh, wish)
        need(65002 in said, "somebody at the hub has to let us in: try again when they have")
    if 65002 in said:  # ours, or a newer one
        need(verify_membership(decode(said[65002]), args.mesh)[0][8][1][-2] == public, "another's membership")
        state["membership"] = said[65002].hex()
    me, _ = verify_membership(decode(bytes.fromhex(state["membership"])), args.mesh)

    # What an earlier run may not have handed over goes first, as it was. Nobody knows how old it is.
    if state["owed"]:
        deliver(session, bytes.fromhex(state["owed"]), [kid_of(public), *state["stream"]], None)

    # Every start opens an epoch, higher than all before; its first pack names the end of the one before.
    before = state["end"] and [state["stream"][2], 1, bytes.fromhex(state["end"])]
    state["starts"] += 1
    state["stream"] = [HUB, DURABLE, epoch := state["starts"] << 32 | secrets.randbits(32)]
    stream, sealed = [kid_of(public), *state["stream"]], time.monotonic()
    pack, chain = seal(key, args.mesh, stream, before, [args.topic, args.unit], [args.value])
    save(
        remembered, json.dumps(state | {"end": chain.hex(), "owed": pack.hex()})
    )  # before anybody else has it

    receipt = deliver(session, pack, stream, int((time.monotonic() - sealed) * 1000))
    # Once more, as if the receipt had been lost: a duplicate, which gives a receipt and nothing else.
    again = deliver(session, pack, stream, int((time.monotonic() - sealed) * 1000))
    save(remembered, json.dumps(state | {"end": chain.hex(), "owed": None}))
    ident = f"{kid_of(public).hex()}.hub.{DURABLE}.{epoch:016x}.1"
    done = {"id": ident, "joined": not member, "name": me[2], "hub": hub[2]}
    print(json.dumps(done | {"receipt": receipt, "again": again}))


if __name__ == "__main__":
    try:
        main()
    except (Refused, TimeoutError) as error:
        raise SystemExit(f"stranger: {error}") from None
