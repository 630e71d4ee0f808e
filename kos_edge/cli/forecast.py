"""forecast: when the queue is full or empty, and how sure that is."""

from __future__ import annotations

import click

from kos_edge.cli.face import Face, common, pass_face
from kos_edge.cli.reach import ask
from kos_edge.cli.show import columns, size, span, years
from kos_edge.control.reports import CardReport, FlowReport, QueueForecast, RateReport, SpanReport


@click.command()
@common
@pass_face
def forecast(face: Face) -> None:
    """How fast the queue fills and drains, and when it is full or empty if all goes on so; how long the card will live.

    IN and OUT are what came and what was let go of a second, over the last minute. Without a daemon nothing is
    measured.
    """
    report = ask(face, lambda node: node.forecast())
    text = forecast_text(report)
    if report["card"] is not None:
        text += f"\ncard:  {card_text(report['card'])}"
    rows: list[tuple[str, ...]] = [
        (lane["audience"], lane["priority"], lane["order"], *_flow(lane)) for lane in report["lanes"]
    ]
    if len(rows) > 1:
        rows.append(("all", "", "", *_flow(report["total"])))
    if rows:
        text += "\n" + columns(rows, ("FOR", "PRIORITY", "ORDER", "IN", "OUT"))
    face.answer(report, text)


def forecast_text(report: QueueForecast) -> str:
    """When it is empty, when it is full, and what happens then, on two lines."""
    full = _when(report["full"])
    if report["full"]["seconds"] is not None:
        full += f", by the {report['limit']} of {report['limit_of']}"
    return f"empty: {_when(report['drain'])}\nfull:  {full}; then {report['at_limit']}"


def card_text(card: CardReport) -> str:
    """How long the device will live, at which rate, and what that assumes."""
    rate = "" if card["bytes_a_day"] is None else f", {size(round(card['bytes_a_day']))} a day are written"
    if rate:
        rate += f" over the last {span(max(1.0, card['measured_s']))}"
    if card["own_bytes_a_day"] is not None:
        rate += f", {size(round(card['own_bytes_a_day']))} of them by kos-edge"
    text = f"{card['device']} ({card['kind']}, {size(card['size_bytes'])}) "
    if card["left_s"] is None:
        text += card["why"]
    else:
        text += f"is worn out in {years(card['left_s'])}"
    text += rate
    if card["endurance_bytes"] is not None:
        text += f"; it bears {size(card['endurance_bytes'])} ({card['endurance_from']})"
    if card["used"] is not None:
        text += f", and says that up to {card['used']:.0%} of its life are used"
    return text + (f"; {card['failing']}" if card["failing"] else "")


def _when(found: SpanReport) -> str:
    seconds, low, high = found["seconds"], found["low"], found["high"]
    if seconds is None:
        return found["why"]
    if not seconds:
        return "now"
    if low is None or (high is not None and high - low < max(1.0, 0.1 * seconds)):
        return f"in {_rounded(seconds)}"
    return f"in {_rounded(seconds)} ({_rounded(low)} to {'for ever' if high is None else _rounded(high)})"


def _rounded(seconds: float) -> str:
    return span(max(1.0, seconds)) if seconds < 1e9 else "more than 30 years"


def _flow(flow: FlowReport) -> tuple[str, str]:
    return (
        _rates(flow["messages_in"], flow["bytes_in"]),
        _rates(flow["messages_out"], flow["bytes_out"]),
    )


def _rates(messages: RateReport | None, count: RateReport | None) -> str:
    if messages is None or count is None:
        return "not known"
    return f"{messages['value']:,.1f}/s, {size(round(count['value']))}/s"
