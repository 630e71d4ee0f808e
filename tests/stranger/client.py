"""A stranger: a client of a kos-edge hub that was written from the RFCs and docs/protocol, and shares no code with it.

It joins a mesh with a key that the hub was told of (`kos-edge allow PUBLIC_KEY_HEX`), delivers one reading, checks the
receipt, delivers the same pack again, and prints one line of JSON. Run again with the same key it goes on where it was:
what it has to remember (its membership, where its stream stands) is in KEY.state.json beside the key.

    python client.py --key my.key                                    # prints the public key, for `kos-edge allow`
    python client.py --key my.key --hub 192.0.2.1:5683 --mesh HEX --topic air.temperature --value 21.5 --unit Cel

Needed: Python 3.11, cryptography, cbor2. EDHOC (RFC 9528) method 0 suite 0 over CoAP over UDP, then OSCORE (RFC 8613).
"""

import argparse
import json
import math
import os
import secrets
import socket
import struct
import time
from hashlib import sha256
from io import BytesIO
from pathlib import Path

from cbor2 import CBORDecoder
from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import AESCCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF, HKDFExpand

HUB, DATA, DURABLE_NORMAL, SENML = 0, 2, 5, 112
KCWT, KCCS, AUTHORITY = 13, 14, -65537
REACH = {1: "custody", 2: "final", 3: "volatile"}


class Refused(Exception):
    """What came breaks a rule, or the hub says no."""


def need(condition, why):
    if not condition:
        raise Refused(why)


# ---- CBOR, RFC 8949 section 4.2.1 (keys of maps in the order of their encodings) ----


def encode(value):
    match value:
        case None | bool():
            return {False: b"\xf4", True: b"\xf5", None: b"\xf6"}[value]
        case int():
            return head(0, value) if value >= 0 else head(1, -1 - value)
        case float():
            if math.isnan(value):
                return b"\xf9\x7e\x00"
            for first, form in ((0xF9, ">e"), (0xFA, ">f"), (0xFB, ">d")):
                try:
                    packed = struct.pack(form, value)
                except OverflowError:
                    continue
                if struct.unpack(form, packed)[0] == value:
                    return bytes([first]) + packed
        case bytes():
            return head(2, len(value)) + value
        case str():
            return head(3, len(value.encode())) + value.encode()
        case list() | tuple():
            return head(4, len(value)) + b"".join(map(encode, value))
        case dict():
            pairs = sorted((encode(key), encode(member)) for key, member in value.items())
            return head(5, len(pairs)) + b"".join(key + member for key, member in pairs)
    raise Refused(f"no CBOR of ours: {value!r}")


def head(major, number):
    for size, code in ((0, None), (1, 24), (2, 25), (4, 26), (8, 27)):
        if number < (256**size if size else 24):
            first = major << 5 | (number if code is None else code)
            return bytes([first]) + (number.to_bytes(size, "big") if size else b"")
    raise Refused("number too large")


def decode_sequence(data):
    """The items of a CBOR sequence. What does not encode to the same bytes again was not deterministic."""
    stream, items = BytesIO(data), []
    decoder = CBORDecoder(stream, read_size=1)
    try:
        while stream.tell() < len(data):
            items.append(decoder.decode())
    except Exception as error:  # of many kinds in cbor2
        raise Refused(f"not CBOR: {error}") from None
    need(sequence(*items) == data, "not deterministic CBOR")
    return items


def decode(data):
    items = decode_sequence(data)
    need(len(items) == 1, "not one CBOR item")
    return items[0]


def sequence(*items):
    return b"".join(map(encode, items))


# ---- keys and memberships: membership.md ----

P = 2**255 - 19
SMALL_ORDER = {0, 1, P - 1} | {
    int.from_bytes(bytes.fromhex(y), "little") & 2**255 - 1
    for y in (
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    )
}


def kid_of(public):
    return sha256(public).digest()[:16]


def verify(public, signature, data, what):
    try:
        need(type(public) is bytes and len(public) == 32 and type(signature) is bytes, f"{what}: shape")
        y = int.from_bytes(public, "little") & 2**255 - 1
        need(y < P and y not in SMALL_ORDER, f"{what}: not a good key")
        Ed25519PublicKey.from_public_bytes(public).verify(signature, data)
    except (InvalidSignature, ValueError):
        raise Refused(f"{what}: the signature does not verify") from None


def open_signed(array, typ, signer, mesh, what):
    """Verify a COSE_Sign1 of membership.md section 3 and give what its payload holds."""
    protected, _, payload, signature = array
    need(protected == encode({1: -8, 16: typ}), f"{what}: protected header")
    verify(signer, signature, encode(["Signature1", protected, mesh, payload]), what)
    return decode(payload)


def authority_keys(shown, mesh):
    """All keys that the authority ever had, the current one last (section 5)."""
    first, *rotations = [shown] if isinstance(shown, bytes) else shown
    need(sha256(first).digest() == mesh, "that is another mesh")
    keys = [first]
    need(len(rotations) <= 8, "too many rotations")
    for number, rotation in enumerate(map(decode, rotations), 1):
        said = open_signed(rotation, 65005, keys[-1], mesh, "rotation")
        need(rotation[1] == {} and set(said) == {1, 2, 3} and said[3] == number, "rotation: content")
        need(said[1] not in keys, "rotation: a key comes twice")
        keys.append(said[1])
    return keys


def verify_membership(array, mesh):
    """The claims of a membership, and the authority's keys, by section 4.1. We know of no revocations (step 9)."""
    need(isinstance(array, list) and len(array) == 4 and len(array[1]) == 1, "membership: shape")
    ((label, shown),) = array[1].items()
    if label == AUTHORITY:
        keys = authority_keys(shown, mesh)
        issuer, signer, namespace = None, keys[-1], "authority"
    else:
        need(label == KCWT and AUTHORITY in shown[1], "membership: no such chain")
        issuer, keys = verify_membership(shown, mesh)
        signer, namespace = issuer[8][1][-2], issuer[-65539]
    claims = open_signed(array, 65002, signer, mesh, "membership")
    need(set(claims) == {1, 2, 4, 5, 6, 7, 8, -65537, -65538, -65539}, "membership: claims")
    role, capabilities, public = claims[-65537], claims[-65538], claims[8][1][-2]
    need(claims[8] == {1: {1: 1, -1: 6, -2: public}}, "membership: cnf")
    need(0 <= claims[5] <= claims[6] < claims[4], "membership: times")
    need(claims[1] == f"kid:{namespace}:{kid_of(signer).hex()}", "membership: iss")
    need(claims[-65539] in ("agent", "device", "service", "user"), "membership: namespace")
    need(kid_of(public) not in {kid_of(key) for key in [signer, *keys]}, "membership: signed by itself")
    if issuer is None:
        need(role == HUB and "issue" in capabilities, "membership: the authority signs issuers only")
    else:
        need(role in (1, 2, 3) and "issue" not in capabilities, "membership: role or capabilities")
        need(claims[4] <= issuer[4], "membership: outlives its issuer")
    return claims, keys


# ---- CoAP over UDP, RFC 7252: as much as a client needs ----

CON, NON, ACK, RST = 0, 1, 2, 3
POST, CHANGED, NOT_FOUND, UNAUTHORIZED = 0x02, 0x44, 0x84, 0x81
OPTION_OSCORE, OPTION_PATH, OPTION_FORMAT, OPTION_ECHO = 9, 11, 12, 252


def coap_options(options, payload):
    """Options as a list of (number, value), and the payload."""
    out, last = b"", 0
    for number, value in sorted(options, key=lambda option: option[0]):
        nibbles, extended = [], b""
        for size in (number - last, len(value)):
            nibbles.append(size if size < 13 else 13 if size < 269 else 14)
            extended += (
                b"" if size < 13 else bytes([size - 13]) if size < 269 else (size - 269).to_bytes(2, "big")
            )
        out, last = out + bytes([nibbles[0] << 4 | nibbles[1]]) + extended + value, number
    return out + (b"\xff" + payload if payload else b"")


def coap_parse_options(data):
    options, number, at = [], 0, 0
    while at < len(data) and data[at] != 0xFF:
        sizes, at = [data[at] >> 4, data[at] & 15], at + 1
        for index, nibble in enumerate(sizes):
            need(nibble < 15, "CoAP option")
            extra = max(0, nibble - 12)
            if extra:
                sizes[index] = int.from_bytes(data[at : at + extra], "big") + (13 if extra == 1 else 269)
                at += extra
        number, value, at = number + sizes[0], data[at : at + sizes[1]], at + sizes[1]
        options.append((number, value))
    return options, data[at + 1 :]


class Coap:
    def __init__(self, host, port):
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)[0]
        self.socket = socket.socket(family, kind, protocol)
        self.socket.connect(address)
        self.mid = secrets.randbelow(2**16)

    def send(self, kind, code, token, rest, mid=None):
        if mid is None:
            self.mid = mid = (self.mid + 1) % 2**16
        self.socket.send(struct.pack(">BBH", 0x40 | kind << 4 | len(token), code, mid) + token + rest)

    def request(self, datagram, answers, tries=5, wait=2.0):
        """Send `datagram(token)` until `answers(code, options, payload)` takes a response of that token."""
        token = secrets.token_bytes(4)
        mid = None
        for attempt in range(tries):
            kind, code, rest, same = datagram()
            self.send(kind, code, token, rest, mid if same else None)
            mid = self.mid
            deadline = time.monotonic() + wait * 1.5**attempt
            while (left := deadline - time.monotonic()) > 0:
                self.socket.settimeout(left)
                try:
                    data = self.socket.recv(65536)
                except (TimeoutError, ConnectionRefusedError):
                    continue
                if os.environ.get("STRANGER_TRACE"):
                    print("<", data[:80].hex(), len(data))
                if len(data) < 4 or data[0] >> 6 != 1:
                    continue
                got_kind, length, got_code, got_mid = data[0] >> 4 & 3, data[0] & 15, data[1], data[2:4]
                if got_kind == CON:  # a request of the hub's is answered with a reset: we serve nothing
                    kind = ACK if data[4 : 4 + length] == token and got_code >= 0x40 else RST
                    self.socket.send(bytes([0x40 | kind << 4, 0]) + got_mid)
                if data[4 : 4 + length] == token and got_code >= 0x40:
                    options, payload = coap_parse_options(data[4 + length :])
                    if (result := answers(got_code, options, payload)) is not None:
                        return result
        raise TimeoutError("the hub does not answer")

    def edhoc(self, payload):
        """POST to /.well-known/edhoc, once more with Echo if the hub asks for that."""
        path = [(OPTION_PATH, b".well-known"), (OPTION_PATH, b"edhoc"), (OPTION_FORMAT, bytes([65]))]
        for _ in range(3):
            rest = coap_options(path, payload)
            code, options, answer = self.request(lambda: (CON, POST, rest, True), lambda *all: all)  # noqa: B023
            echo = [(number, value) for number, value in options if number == OPTION_ECHO]
            if code != UNAUTHORIZED or not echo:
                break
            path = path[:3] + echo
        items = decode_sequence(answer)
        need(code == CHANGED and len(items) == 1 and isinstance(items[0], bytes), f"the hub says {items}")
        return items[0]


# ---- EDHOC, RFC 9528: initiator, method 0, suite 0 ----


def kdf(prk, label, context, length):
    return HKDFExpand(SHA256(), length, sequence(label, context, length)).derive(prk)


def identifier(value):
    """A connection identifier as bytes: a byte that is an integer from -24 to 23 in CBOR is written so."""
    return value if isinstance(value, bytes) else encode(value)


def to_sign(id_cred, th, cred, ead, mac):
    return encode(["Signature1", id_cred, encode(th) + cred + ead, mac])


def handshake(coap, key, credential, mesh, wish=None):
    """Show `credential` to the hub; the session, the hub's claims and EAD_4 as a dictionary."""
    x = X25519PrivateKey.generate()
    c_i = 5  # one session at a time
    ead_1 = sequence(0, bytes(210))  # padding, pays for the length of message_2
    message_1 = sequence(0, 0, x.public_key().public_bytes_raw(), c_i) + ead_1
    message_2 = coap.edhoc(encode(True) + message_1)

    g_y, ciphertext_2 = message_2[:32], message_2[32:]
    secret = x.exchange(X25519PublicKey.from_public_bytes(g_y))  # refuses an all-zero secret
    th_2 = sha256(sequence(g_y, sha256(message_1).digest())).digest()
    prk = HKDF.extract(SHA256(), th_2, secret)  # PRK_2e = PRK_3e2m = PRK_4e3m: no static Diffie-Hellman
    keystream = kdf(prk, 0, th_2, len(ciphertext_2))
    plaintext_2 = bytes(a ^ b for a, b in zip(ciphertext_2, keystream, strict=True))
    c_r, id_cred_r, signature_2, *ead_2 = decode_sequence(plaintext_2)
    need(isinstance(id_cred_r, dict) and set(id_cred_r) == {KCWT}, "the hub shows no membership")
    need(not any(type(label) is int and label < 0 for label in ead_2), "a critical item in EAD_2")
    cred_r, id_cred_r_bytes = encode(id_cred_r[KCWT]), encode(id_cred_r)
    context_2 = encode(c_r) + id_cred_r_bytes + encode(th_2) + cred_r + sequence(*ead_2)
    mac_2 = kdf(prk, 2, context_2, 32)
    hub, _ = verify_membership(id_cred_r[KCWT], mesh)
    signed = to_sign(id_cred_r_bytes, th_2, cred_r, sequence(*ead_2), mac_2)
    verify(hub[8][1][-2], signature_2, signed, "message_2")
    need("issue" in hub[-65538], "that is a member, but no hub")

    th_3 = sha256(encode(th_2) + plaintext_2 + cred_r).digest()
    id_cred_i, cred_i = encode(credential), sequence(*credential.values())
    ead_3 = sequence(65001, encode(wish)) if wish else b""
    mac_3 = kdf(prk, 6, id_cred_i + encode(th_3) + cred_i + ead_3, 32)
    signature_3 = key.sign(to_sign(id_cred_i, th_3, cred_i, ead_3, mac_3))
    plaintext_3 = id_cred_i + encode(signature_3) + ead_3
    message_3 = aead(kdf(prk, 3, th_3, 16)).encrypt(
        kdf(prk, 4, th_3, 13), plaintext_3, encode(["Encrypt0", b"", th_3])
    )
    ciphertext_4 = coap.edhoc(sequence(c_r, message_3))

    th_4 = sha256(encode(th_3) + plaintext_3 + cred_i).digest()
    plaintext_4 = aead(kdf(prk, 8, th_4, 16)).decrypt(
        kdf(prk, 9, th_4, 13), ciphertext_4, encode(["Encrypt0", b"", th_4])
    )
    prk_exporter = kdf(kdf(prk, 7, th_4, 32), 10, b"", 32)
    session = Oscore(
        coap, identifier(c_r), identifier(c_i), kdf(prk_exporter, 0, b"", 16), kdf(prk_exporter, 1, b"", 8)
    )
    return session, hub, dict(ead_items(plaintext_4))


def ead_items(data):
    items = decode_sequence(data)
    while items:
        label = items.pop(0)
        value = items.pop(0) if items and isinstance(items[0], bytes) else None
        need(label >= 0, "a critical item that we do not understand")
        yield label, value


def aead(key):
    return AESCCM(key, tag_length=8)


# ---- OSCORE, RFC 8613 ----


class Oscore:
    def __init__(self, coap, sender_id, recipient_id, secret, salt):
        def derive(ident, kind, length):
            info = encode([ident, None, 10, kind, length])
            return HKDF(SHA256(), length, salt, info).derive(secret)

        self.coap, self.sender_id, self.recipient_id, self.number = coap, sender_id, recipient_id, 0
        self.sender_key, self.recipient_key = derive(sender_id, "Key", 16), derive(recipient_id, "Key", 16)
        self.common_iv = derive(b"", "IV", 13)

    def nonce(self, ident, piv):
        plain = bytes([len(ident)]) + ident.rjust(7, b"\0") + piv.rjust(5, b"\0")
        return bytes(a ^ b for a, b in zip(plain, self.common_iv, strict=True))

    def post(self, path, body):
        """POST of one segment; the answer's body. Sent again it is protected anew, or it would be a replay."""
        pivs = []

        def protect():
            piv = self.number.to_bytes(max(1, (self.number.bit_length() + 7) // 8), "big")
            self.number += 1
            pivs.append(piv)
            plaintext = bytes([POST]) + coap_options([(OPTION_PATH, path.encode())], body)
            nonce = self.nonce(self.sender_id, piv)
            ciphertext = aead(self.sender_key).encrypt(nonce, plaintext, self.aad(piv))
            option = bytes([0x08 | len(piv)]) + piv + self.sender_id
            return NON, POST, coap_options([(OPTION_OSCORE, option)], ciphertext), False

        def unprotect(code, options, payload):
            option = dict(options).get(OPTION_OSCORE)
            if option is None:
                return None  # unprotected, such as 4.01: anybody may have written that
            for piv in reversed(pivs):  # it does not say which of our requests it answers
                own = option[1 : 1 + (option[0] & 7)] if option else b""
                nonce = self.nonce(self.recipient_id, own) if own else self.nonce(self.sender_id, piv)
                try:
                    plaintext = aead(self.recipient_key).decrypt(nonce, payload, self.aad(piv))
                except InvalidTag:
                    continue
                return plaintext[0], coap_parse_options(plaintext[1:])[1]
            return None

        code, answer = self.coap.request(protect, unprotect)
        need(code == CHANGED, f"POST /{path}: {code >> 5}.{code & 31:02}")
        return decode(answer)

    def aad(self, piv):
        return encode(["Encrypt0", b"", encode([1, [10], self.sender_id, piv, b""])])


# ---- packs: klp.md ----


def make_pack(key, mesh, stream, first, prev, topic, body, started):
    """One message, signed. `stream` is source, audience, class, epoch."""
    message = encode([0, DATA, 0, body])
    clocks = [int((time.monotonic() - started) * 1000), int(time.time() * 1000), 1000]
    header = encode([1, *stream, first, prev, *clocks, [topic]])
    root = sha256(b"\0" + message).digest()
    protected = encode({1: -8, 16: 65001})
    external_aad = mesh + (1).to_bytes(2, "big") + root
    signature = key.sign(encode(["Signature1", protected, external_aad, header]))
    signed = [protected, {}, header, signature]
    return encode([signed, [message]]), sha256(encode(signed)).digest()[:16]


def deliver(session, pack, stream, number, age):
    """Ship the pack; its receipt, which must say that the hub has it on disk."""
    answer = session.post("klp", encode([[age, pack]]))
    need(not answer.get(3), "the hub does not know our membership")
    receipts = [receipt for receipt in answer[1] if receipt[:4] == stream]
    need(len(receipts) == 1, "no receipt: the pack broke a rule")
    held, ranges, refusals, reach = receipts[0][4:]
    need(number not in dict(refusals), f"refused: reason {dict(refusals).get(number)}")
    need(held >= number and reach == 2, f"held up to {held}, reach {REACH.get(reach, reach)}")
    return {"held": held, "ranges": ranges, "reach": REACH[reach]}


# ---- what it does ----


def load_key(path):
    if not path.exists():
        path.touch(0o600)
        path.write_text(secrets.token_hex(32))
    return Ed25519PrivateKey.from_private_bytes(bytes.fromhex(path.read_text().strip()))


class State:
    """What has to outlive the process, in a file that is replaced whole and synced before anything is sent."""

    def __init__(self, path):
        self.path = path
        #  membership; how many epochs were opened; last [epoch, number, chain hash]; a pack not yet known to be held
        self.content = {"membership": None, "epochs": 0, "last": None, "owed": None}
        if path.exists():
            self.content = json.loads(path.read_text())

    def save(self, **changes):
        self.content |= changes
        new = self.path.with_suffix(".new")
        with new.open("w") as file:
            json.dump(self.content, file)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self.path)
        directory = os.open(self.path.parent, os.O_RDONLY)
        os.fsync(directory)
        os.close(directory)


def connect(coap, key, mesh, name, state):
    """A session as a member: with the membership that we have, or as a newcomer that gets one."""
    public = key.public_key().public_bytes_raw()
    kept = state.content["membership"]
    if kept:
        session, hub, ead_4 = handshake(coap, key, {KCWT: decode(bytes.fromhex(kept))}, mesh)
    else:
        kccs = {2: name, 8: {1: {1: 1, -1: 6, -2: public}}}
        session, hub, ead_4 = handshake(coap, key, {KCCS: kccs}, mesh, wish=[name, 1])
    if 65002 in ead_4:  # the membership of a newcomer, or a newer one
        claims, _ = verify_membership(decode(ead_4[65002]), mesh)
        need(claims[8][1][-2] == public, "that is another's membership")
        state.save(membership=ead_4[65002].hex())
    elif not kept:
        raise Refused(
            f"not yet: somebody at the hub has to say yes; ask again in {decode(ead_4[65003])[0]} s"
        )
    return session, hub, verify_membership(decode(bytes.fromhex(state.content["membership"])), mesh)[0]


def main():
    parser = argparse.ArgumentParser(description="Deliver one reading to a kos-edge hub.")
    parser.add_argument(
        "--key", type=Path, required=True, help="file of our Ed25519 key; made where there is none"
    )
    parser.add_argument("--hub", help="HOST:PORT; without it the public key is printed, and that is all")
    parser.add_argument("--mesh", type=bytes.fromhex, help="the mesh id, 64 hexadecimal digits")
    parser.add_argument("--topic", default="air.temperature")
    parser.add_argument("--value", type=float, default=21.5)
    parser.add_argument("--unit", default="Cel")
    parser.add_argument("--name", default="stranger", help="the name that we would like")
    args = parser.parse_args()

    started = time.monotonic()
    key = load_key(args.key)
    public = key.public_key().public_bytes_raw()
    if not args.hub:
        print(json.dumps({"public": public.hex(), "kid": kid_of(public).hex()}))
        return
    host, _, port = args.hub.rpartition(":")
    state = State(args.key.with_suffix(".state.json"))
    joined = state.content["membership"] is None
    session, hub, me = connect(Coap(host.strip("[]"), int(port)), key, args.mesh, args.name, state)

    # What an earlier run could not hand over goes first: same bytes, same place; how old it is nobody knows.
    if owed := state.content["owed"]:
        epoch, number, _ = state.content["last"]
        deliver(session, bytes.fromhex(owed), [kid_of(public), HUB, DURABLE_NORMAL, epoch], number, None)

    # Every start opens an epoch, which begins at number 1 and names the end of the one before.
    epochs = state.content["epochs"] + 1
    epoch = epochs << 32 | secrets.randbits(32)
    stream, number = [kid_of(public), HUB, DURABLE_NORMAL, epoch], 1
    last = state.content["last"]
    prev = last and [last[0], last[1], bytes.fromhex(last[2])]
    body = {1: SENML, 2: [{1: args.unit, 2: args.value}]}
    sealed = time.monotonic()
    pack, chain = make_pack(key, args.mesh, stream, number, prev, args.topic, body, started)
    state.save(epochs=epochs, last=[epoch, number, chain.hex()], owed=pack.hex())

    receipt = deliver(session, pack, stream, number, int((time.monotonic() - sealed) * 1000))
    again = deliver(session, pack, stream, number, int((time.monotonic() - sealed) * 1000))
    need(again == receipt, "a duplicate changed the receipt")
    state.save(owed=None)
    print(
        json.dumps(
            {
                "id": f"{kid_of(public).hex()}.hub.{DURABLE_NORMAL}.{epoch:016x}.{number}",
                "joined": joined,
                "name": me[2],
                "hub": hub[2],
                "receipt": receipt,
                "duplicate": again,
            }
        )
    )


if __name__ == "__main__":
    try:
        main()
    except (Refused, TimeoutError) as error:
        raise SystemExit(f"stranger: {error}") from None
