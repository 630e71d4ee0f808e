"""Object security for CoAP: protect and unprotect requests and responses (RFC 8613).

The keys come from `derive`; a message is worked on here, with all that does not change from one message to
the next made once: the AEAD object, the beginning of the additional data for each length of partial IV, and
the nonce with everything but the number in it. Either side sends requests, so one context serves both roles.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESCCM, ChaCha20Poly1305

from kos_edge.bootstrap.schedule import OscoreKeys
from kos_edge.errors import Invalid, Misuse, Unavailable
from kos_edge.transport.coap import (
    Options,
    Request,
    Response,
    is_request,
    is_response,
    read_request,
    read_response,
)
from kos_edge.transport.derive import AES_CCM_16_64_128, derive
from kos_edge.transport.wire import decode_options, encode_request, encode_response

REPLAY_WINDOW: Final = 4096
"""Numbers: four times 1,024 in flight. With 32, reordering of 30 % at 64 in flight cost 15 % of the
messages.
"""

MAX_MESSAGES: Final = 1 << 20
"""Protected with one key: the bound for 64-bit tags in draft-ietf-core-oscore-key-limits."""

MAX_FAILURES: Final = 1 << 14
"""Forgeries tried against one key, from the same draft."""

MAX_CCM_PLAINTEXT: Final = 0xFFFF
"""A 13-byte nonce leaves AES-CCM two bytes for the length (RFC 3610 section 2.1): 64 KiB do not fit suite
0.
"""

_FLAG_KID: Final = 0x08
_FLAG_KID_CONTEXT: Final = 0x10


class Replayed(Invalid):
    """A number that was used before, or is older than the window: dropped without an answer."""


class Unreadable(Invalid):
    """A request that is authentic and asks for what is not understood: its sender is told so."""

    def __init__(self, message: str, binding: Binding) -> None:
        super().__init__(message)
        self.binding = binding


class OscoreOption(NamedTuple):
    """The OSCORE option taken apart (RFC 8613 section 6.1)."""

    piv: bytes
    kid: bytes | None
    kid_context: bytes | None

    @classmethod
    def read(cls, value: bytes) -> OscoreOption:
        """`Invalid` when the flags are reserved or the parts do not fit."""
        if not value:
            return cls(b"", None, None)
        flags, size = value[0], value[0] & 7
        if flags & 0xE0 or size > 5 or len(value) < 1 + size or not flags:
            raise Invalid("an OSCORE option with reserved flags or cut short")
        piv, at = value[1 : 1 + size], 1 + size
        if size > 1 and not piv[0]:
            raise Invalid("a partial IV that is longer than its number needs")
        kid_context = None
        if flags & _FLAG_KID_CONTEXT:
            stop = at + 1 + value[at] if at < len(value) else len(value) + 1
            if stop > len(value):
                raise Invalid("an OSCORE option whose context is cut short")
            kid_context, at = value[at + 1 : stop], stop
        if flags & _FLAG_KID:
            return cls(piv, value[at:], kid_context)
        if at != len(value):
            raise Invalid("an OSCORE option with bytes left over")
        return cls(piv, None, kid_context)


@dataclass(slots=True)
class Binding:
    """What ties one response to its request: additional data and nonce. Used for one response, then spent."""

    aad: bytes
    nonce: bytes
    number: int
    answered: bool = False


class ReplayWindow:
    """Which of the latest `size` numbers have come (RFC 8613 section 7.4)."""

    __slots__ = ("_bits", "_mask", "_size", "highest")

    def __init__(self, size: int = REPLAY_WINDOW) -> None:
        self._size = size
        self._bits = 0
        self._mask = (1 << size) - 1
        self.highest = -1

    def fresh(self, number: int) -> bool:
        """Whether the number has not been used and is not too old to tell."""
        if number > self.highest:
            return True
        age = self.highest - number
        return age < self._size and not self._bits >> age & 1

    def strike(self, number: int) -> None:
        """Mark a number used; only after what came with it proved authentic."""
        step = number - self.highest
        if step > 0:
            self._bits = (self._bits << step | 1) & self._mask if step < self._size else 1
            self.highest = number
        else:
            self._bits |= 1 << -step


class SecurityContext:
    """One OSCORE context: keys, numbers and replay window of one session. Lives in memory only."""

    def __init__(self, keys: OscoreKeys, *, window: int = REPLAY_WINDOW) -> None:
        derived = derive(keys)
        self.sender_id = keys.sender_id
        self.recipient_id = keys.recipient_id
        self.protected = 0
        self.failures = 0
        self.window = ReplayWindow(window)
        self._number = 0
        self._iv_size = len(derived.common_iv)
        self._seal, self._open = _aead(keys.aead, derived.sender_key, derived.recipient_key)
        self.max_plaintext = MAX_CCM_PLAINTEXT if keys.aead == AES_CCM_16_64_128 else 1 << 31
        self._sender = _Side(keys.sender_id, keys.aead, derived.common_iv)
        self._recipient = _Side(keys.recipient_id, keys.aead, derived.common_iv)

    @property
    def needs_rekey(self) -> bool:
        """Whether seven eighths of the messages that the keys are good for, or half of the failures, are
        used.
        """
        return self.protected >= MAX_MESSAGES - (MAX_MESSAGES >> 3) or self.failures >= MAX_FAILURES >> 1

    @property
    def worn_out(self) -> bool:
        """Whether the keys must not be used any more."""
        return self.protected >= MAX_MESSAGES or self.failures >= MAX_FAILURES

    def protect_request(self, request: Request) -> tuple[bytes, bytes, Binding]:
        """The OSCORE option, the ciphertext, and what the response will be bound to.

        `Unavailable` when the keys are worn out, `Misuse` when the message is too long for the algorithm.
        """
        plaintext = encode_request(request)
        number = self._number
        piv = number.to_bytes((number.bit_length() + 7) // 8 or 1, "big")
        binding = self._sender.binding(number, piv)
        payload = self._encrypt(binding.nonce, plaintext, binding.aad)
        self._number = number + 1
        return bytes((_FLAG_KID | len(piv),)) + piv + self.sender_id, payload, binding

    def unprotect_request(self, option: OscoreOption, payload: bytes) -> tuple[Request, Binding]:
        """The request and what its response is bound to.

        `Replayed` when the number was used; `Unreadable` when an authentic request asks for what is not known
        here; `Invalid` when anything else does not hold, and then nothing changes but the count of failures.
        """
        if not option.piv or option.kid != self.recipient_id or option.kid_context is not None:
            raise Invalid("not a request under this context")
        number = int.from_bytes(option.piv, "big")
        if not self.window.fresh(number):
            raise Replayed("a number that was used before")
        binding = self._recipient.binding(number, option.piv)
        code, options, body = self._decrypt(binding.nonce, payload, binding.aad)
        self.window.strike(number)
        if not is_request(code):
            raise Unreadable("a protected request that carries no request", binding)
        try:
            return read_request(code, options, body), binding
        except Invalid as error:
            raise Unreadable(error.message, binding) from None

    def protect_response(self, binding: Binding, response: Response) -> tuple[bytes, bytes]:
        """The OSCORE option, empty because the request's nonce is used once more, and the ciphertext.

        `Misuse` when the request was answered before: one nonce never covers two messages (RFC 8613 section
        5.2).
        """
        if binding.answered:
            raise Misuse("this request was answered before")
        plaintext = encode_response(response)
        binding.answered = True
        return b"", self._encrypt(binding.nonce, plaintext, binding.aad)

    def unprotect_response(self, binding: Binding, option: OscoreOption, payload: bytes) -> Response:
        """The response to the request that `binding` came from; `Invalid` when it is not that."""
        if option.kid not in (None, self.recipient_id) or option.kid_context is not None or binding.answered:
            raise Invalid("not a response under this context")
        nonce = self._recipient.nonce(int.from_bytes(option.piv, "big")) if option.piv else binding.nonce
        code, options, body = self._decrypt(nonce, payload, binding.aad)
        binding.answered = True
        if not is_response(code):
            raise Invalid("a protected response that carries no response")
        return read_response(code, options, body)

    def _encrypt(self, nonce: bytes, plaintext: bytes, aad: bytes) -> bytes:
        if self.worn_out:
            raise Unavailable("this session's keys have protected all that they may")
        if len(plaintext) > self.max_plaintext:
            raise Misuse(f"{len(plaintext)} bytes do not fit one message under AES-CCM with a 13-byte nonce")
        self.protected += 1
        return self._seal(nonce, plaintext, aad)

    def _decrypt(self, nonce: bytes, payload: bytes, aad: bytes) -> tuple[int, Options, bytes]:
        if self.failures >= MAX_FAILURES:
            raise Invalid("this session's keys have seen too many forgeries")
        try:
            plaintext = self._open(nonce, payload, aad)
        except (InvalidTag, ValueError):
            self.failures += 1
            raise Invalid("a message that the keys of its session do not open") from None
        if not plaintext:
            raise Invalid("a protected message with nothing in it")
        options, body = decode_options(plaintext, 1)
        return plaintext[0], options, body


class _Side:
    """What is fixed in nonces and additional data of one side's requests (RFC 8613 sections 5.2 and 5.4)."""

    __slots__ = ("_fixed", "_prefix", "_size")

    def __init__(self, kid: bytes, aead: int, common_iv: bytes) -> None:
        size = len(common_iv)
        padded = bytes((len(kid),)) + kid.rjust(size - 6, b"\0") + bytes(5)
        self._fixed = int.from_bytes(padded, "big") ^ int.from_bytes(common_iv, "big")
        self._size = size
        self._prefix = tuple(_aad_prefix(kid, aead, length) for length in range(6))

    def nonce(self, number: int) -> bytes:
        return (self._fixed ^ number).to_bytes(self._size, "big")

    def binding(self, number: int, piv: bytes) -> Binding:
        return Binding(self._prefix[len(piv)] + piv + b"\x40", self.nonce(number), number)


def _aad_prefix(kid: bytes, aead: int, piv_size: int) -> bytes:
    """`["Encrypt0", h'', bstr .cbor [1, [aead], kid, piv, h'']]` up to where the partial IV begins."""
    algorithm = bytes((aead,)) if aead < 24 else bytes((0x18, aead))
    inner = b"\x85\x01\x81" + algorithm + bytes((0x40 | len(kid),)) + kid + bytes((0x40 | piv_size,))
    whole = len(inner) + piv_size + 1
    header = bytes((0x40 | whole,)) if whole < 24 else bytes((0x58, whole))
    return b"\x83\x68Encrypt0\x40" + header + inner


_Work = Callable[[bytes, bytes, bytes], bytes]


def _aead(aead: int, sender_key: bytes, recipient_key: bytes) -> tuple[_Work, _Work]:
    if aead == AES_CCM_16_64_128:
        return AESCCM(sender_key, 8).encrypt, AESCCM(recipient_key, 8).decrypt
    return ChaCha20Poly1305(sender_key).encrypt, ChaCha20Poly1305(recipient_key).decrypt
