"""How much may be in flight to one peer: a window that follows delay, and repairs loss without slowing for it.

Congestion is a round trip over 1.5 times the smallest seen, or more than 20 % lost within one round trip. Anything
below that is a lossy link, which halving would only starve: halving at every loss gave 0.3 of the rate at 10 % loss
and 40 ms. `docs/protocol/delivery.md` says how this departs from NSTART = 1 (RFC 7252 4.7) and keeps to RFC 8085.
"""

from __future__ import annotations

from dataclasses import dataclass, field

INITIAL = 10  # datagrams of about 1 kB: RFC 6928's initial window
SMALLEST = 2
RTO_FIRST = 1.0  # seconds before the first sample; RFC 6298 2.1
RTO_LEAST = 0.25  # seconds; a receiver's sync on a slow card takes that long, and it reports its own delay
RTO_MOST = 3.0  # seconds; one datagram in 3 s is what RFC 8085 3.1.3 lets anyone send without any measurement
DELAY_FACTOR = 1.5
DELAY_SLACK = 0.01  # seconds; below this a longer round trip is the scheduler, not the link
LOSS_SHARE = 0.2
LOSS_SAMPLE = (
    64  # shipments before the share means anything: 10 % loss shows over 20 % in 1 of 100 such samples
)
MIN_RTT_AGE = 30.0  # seconds after which the smallest round trip is measured afresh: routes change


@dataclass(slots=True)
class Window:
    """Congestion window and retransmission timer of one session; sizes in shipments.

    RFC 6298 for the timer, with the receiver's own processing time taken out of every sample.
    """

    most: int = 128
    reliable: bool = False
    """The carrier paces and repeats by itself: `most` may be in flight, and nothing is lost before it says so."""
    size: float = INITIAL
    smoothed: float | None = None
    variance: float = 0.0
    smallest: float | None = None
    rto: float = RTO_FIRST
    _smallest_at: float = 0.0
    _threshold: float = float("inf")
    _round_end: float = 0.0
    _sent: int = field(default=0)
    _lost: int = field(default=0)

    def may_send(self, in_flight: int) -> bool:
        """Whether one more shipment may leave."""
        return in_flight < (self.most if self.reliable else int(self.size))

    def on_sent(self) -> None:
        """One shipment left."""
        self._sent += 1

    def on_answer(self, total: float, delay: float, now: float) -> None:
        """An answer came `total` seconds after its shipment; the receiver says that it took `delay` of them."""
        sample = max(total - min(delay, total), 0.0001)
        if self.smallest is None or sample < self.smallest or now - self._smallest_at > MIN_RTT_AGE:
            self.smallest, self._smallest_at = sample, now
        if self.smoothed is None:
            self.smoothed, self.variance = sample, sample / 2
        else:
            self.variance = 0.75 * self.variance + 0.25 * abs(self.smoothed - sample)
            self.smoothed = 0.875 * self.smoothed + 0.125 * sample
        self.rto = min(max(self.smoothed + 4 * self.variance + delay, RTO_LEAST), RTO_MOST)
        if self.size < self._threshold:
            self.size += 1
        else:
            self.size += 1 / self.size
        self.size = min(self.size, self.most)
        self._end_round(now)

    def on_loss(self, now: float) -> None:
        """A shipment is taken for lost."""
        self._lost += 1
        self._end_round(now)

    def on_timeout(self, now: float) -> None:
        """Nothing came back for a whole retransmission time: wait longer next time (RFC 6298 5.5)."""
        self.rto = min(self.rto * 2, RTO_MOST)
        self._lost += 1
        self._shrink(now)

    def _end_round(self, now: float) -> None:
        if now < self._round_end or self.smoothed is None or self.smallest is None:
            return
        slow = self.smoothed > self.smallest * DELAY_FACTOR + DELAY_SLACK
        judged = self._sent >= LOSS_SAMPLE
        if slow or (judged and self._lost > LOSS_SHARE * self._sent):
            self._shrink(now)
        if judged:
            self._sent = self._lost = 0
        self._round_end = now + self.smoothed

    def _shrink(self, now: float) -> None:
        if now < self._round_end:
            return
        self._threshold = max(self.size * 0.7, SMALLEST)
        self.size = self._threshold
        self._sent = self._lost = 0
        self._round_end = now + (self.smoothed or self.rto)
