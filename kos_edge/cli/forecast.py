"""forecast: when the queue is full or empty, and how sure that is."""

from __future__ import annotations

import click

from kos_edge.cli.face import Face, common, pass_face
from kos_edge.cli.reach import ask
from kos_edge.cli.show import columns, size, span
from kos_edge.control.reports import FlowReport, ForecastReport, RateReport, SpanReport


@click.command()
@common
@pass_face
def forecast(face: Face) -> None:
    """How fast the queue fills and drains, and when it is full or empty if all goes on so.

    IN and OUT are what came and what was let go of a second, over the last minute. Without a daemon nothing is
    measured.
    """
    report = ask(face, lambda node: node.forecast())
    text = forecast_text(report)
    rows: list[tuple[str, ...]] = [
        (lane["audience"], lane["priority"], lane["order"], *_flow(lane)) for lane in report["lanes"]
    ]
    if len(rows) > 1:
        rows.append(("all", "", "", *_flow(report["total"])))
    if rows:
        text += "\n" + columns(rows, ("FOR", "PRIORITY", "ORDER", "IN", "OUT"))
    face.answer(report, text)


def forecast_text(report: ForecastReport) -> str:
    """When it is empty, when it is full, and what happens then, on two lines."""
    full = _when(report["full"])
    if report["full"]["seconds"] is not None:
        full += f", by the {report['limit']} of {report['limit_of']}"
    return f"empty: {_when(report['drain'])}\nfull:  {full}; then {report['at_limit']}"


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
