"""The wires: whoever reaches a socket may send anything."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from kos_edge.bootstrap.schedule import OscoreKeys
from kos_edge.errors import Invalid
from kos_edge.testing.loop import VirtualLoop
from kos_edge.transport import blockwise, coap, exchange, framing, wire
from kos_edge.transport.address import Address
from kos_edge.transport.blockwise import Reassembly
from kos_edge.transport.coap import CON, Message, Request, Response
from kos_edge.transport.exchange import Exchange, Requested
from kos_edge.transport.framing import CSM, Stream, encode_frame
from kos_edge.transport.oscore import OscoreOption, SecurityContext
from kos_edge.transport.surface import AMPLIFICATION
from tests.transport.world import CHACHA, keys_of_both, klp, side

_PEER = Address("udp", "192.0.2.1", 5683)


def _protected() -> bytes:
    option, payload, _ = SecurityContext(keys_of_both(CHACHA)[0]).protect_request(klp(b"reading"))
    return wire.encode_datagram(Message(coap.POST, b"tokn", ((coap.OSCORE, option),), payload, CON, 7))


SEEDS = (
    _protected(),
    bytes.fromhex("44011234746f6b6ebb2e77656c6c2d6b6e6f776e04636f7265"),
    bytes.fromhex("44021234746f6b6ebb2e77656c6c2d6b6e6f776e056564686f63ff") + b"\xf5" + bytes(40),
    b"\x40\x00\x12\x34",
    encode_frame(Message(CSM)) + encode_frame(Message(coap.POST, b"t", ((coap.URI_PATH, b"klp"),), b"body")),
)


def fuzz_coap_datagram(data: bytes) -> None:
    """A datagram is Invalid, or a message that is written and read back as itself."""
    message = wire.decode_datagram(data)
    assert wire.decode_datagram(wire.encode_datagram(message)) == message
    if coap.is_request(message.code):
        coap.read_request(message.code, message.options, message.payload)
    elif coap.is_response(message.code):
        coap.read_response(message.code, message.options, message.payload)


def fuzz_coap_exchange(data: bytes) -> None:
    """The message layer takes anything: never raises, keeps one memory a message, and answers no longer
    than it.
    """
    machine = Exchange(random=bytes)
    event = machine.receive(_PEER, data, 0.0)
    if isinstance(event, Requested):
        machine.answer(event, Message(coap.CHANGED, event.message.token), 0.1)
    machine.handle_timer(exchange.ACK_DELAY)
    assert machine.remembered[0] <= 1
    assert sum(len(out) for _, out in machine.pending()) <= max(len(data), 4)


def fuzz_coap_stream(data: bytes) -> None:
    """Chunking changes nothing, no more than one message is ever held, and a closed stream stays closed."""
    whole, split = Stream(), Stream()
    whole.receive(data)
    pieces = []
    for at in range(0, len(data), 7):
        split.receive(data[at : at + 7])
        pieces += split.messages()
        assert split.held <= framing.MAX_BEFORE
    assert pieces == whole.messages()
    assert split.closed == whole.closed


def fuzz_oscore_option(data: bytes) -> None:
    """An OSCORE option is Invalid, or has a partial IV of at most five bytes without a leading zero."""
    option = OscoreOption.read(data)
    assert len(option.piv) <= 5
    assert len(option.piv) < 2 or option.piv[0]


def fuzz_oscore_request(data: bytes) -> None:
    """Only what the keys made opens, and a forgery moves nothing but the count of failures."""
    message = wire.decode_datagram(data)
    value = message.option(coap.OSCORE)
    if value is None:
        raise Invalid("not protected")
    context = SecurityContext(keys_of_both(CHACHA)[1])
    try:
        request, _ = context.unprotect_request(OscoreOption.read(value), message.payload)
    except Invalid:
        assert context.window.highest == -1
        raise
    assert request == klp(b"reading")


def fuzz_block(data: bytes) -> None:
    """A block is answered or completes a request, and never more than 72 KiB are held."""
    inside = Reassembly()
    for at in range(0, len(data), 40):
        part = data[at : at + 40]
        options = ((coap.BLOCK1, part[:3]), (coap.REQUEST_TAG, part[3:4]))
        taken = inside.take(Request(coap.POST, "/klp", part[4:], None, options), 0.0)
        assert isinstance(taken, Request | Response)
        assert inside.held <= blockwise.MAX_BODY


class _Wire:
    """A datagram carrier that counts what it is given."""

    name = "udp"
    bound: tuple[Address, ...] = ()

    def __init__(self) -> None:
        self.sent = 0

    async def start(self, receiver: object) -> None:
        pass

    async def resolve(self, target: Address) -> Address:
        return target

    def send(self, target: Address, data: bytes) -> None:
        self.sent += len(data)

    async def close(self) -> None:
        pass


@contextmanager
def _loop() -> Iterator[asyncio.Runner]:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        yield runner


def fuzz_endpoint(data: bytes) -> None:
    """Whatever a stranger sends reaches no handler of KLP, opens no session, and is answered threefold at
    most.
    """

    async def scenario() -> None:
        carrier = _Wire()
        it = await side(carrier)
        _, theirs = keys_of_both(CHACHA)
        it.endpoint.add_session(
            _PEER, OscoreKeys(bytes(16), bytes(8), b"\x07", theirs.recipient_id, CHACHA, -16), ""
        )
        it.endpoint._links.datagram_received(_PEER, data)
        await asyncio.sleep(1)
        assert it.requests == []
        assert len(it.endpoint.sessions) == 1
        assert carrier.sent <= AMPLIFICATION * max(len(data), 4)
        await it.endpoint.close()

    with _loop() as runner:
        runner.run(scenario())
