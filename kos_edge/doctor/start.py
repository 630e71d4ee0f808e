"""How the node came up, and whether the files that it runs from are those that were installed."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from kos_edge.bootstrap.sequence import Ending, Step
from kos_edge.doctor.finding import Finding, bad, good, warning
from kos_edge.doctor.patient import Patient
from kos_edge.errors import KosError
from kos_edge.node.installed import NotSealed, anchors, examine
from kos_edge.node.keyfile import find_key
from kos_edge.node.starts import ChronicleFile, boot_id
from kos_edge.node.statedir import StateDir

_ANEW = "install it anew: the package, or sudo kos-edge install"


def installed(patient: Patient) -> Iterator[Finding]:
    """What is installed is what was sealed."""
    if patient.settings.security.signatures == "disabled":
        yield warning(
            "installed files",
            "they are not compared with their manifest",
            '[security] signatures = "moderate"',
        )
        return
    own = None
    with contextlib.suppress(KosError):  # the check of the key says what is wrong with it
        own = find_key(StateDir(patient.state).key_file).value.public
    try:
        report = examine(patient.installation, anchors(patient.settings, own))
    except NotSealed:
        yield good("installed files", f"{patient.installation} is not sealed, so nothing is compared")
    except KosError as error:
        yield bad("installed files", error.message, error.hint or _ANEW)
    else:
        if report.sound:
            files, version = len(report.manifest.files), report.manifest.version
            by = report.manifest.signer
            yield good("installed files", f"all {files:,} of version {version} are as {by} sealed them")
        else:
            yield bad("installed files", f"in {patient.installation} {report.words()}", _ANEW)


def bootstrap(patient: Patient) -> Iterator[Finding]:
    """The latest start went through all its steps, in the mode that was asked for."""
    chronicle = ChronicleFile(patient.state).read()
    last = chronicle.last
    if last is None:
        return
    troubles = last.troubles()
    for text in troubles:
        yield bad("bootstrap", text, "kos-edge bootstrap status")
    runs = patient.status is not None
    if not runs and last.ending in (Ending.NONE, Ending.ERROR):
        how = last.how_it_ended(boot_id())
        yield bad("bootstrap", f"the latest start {how}", "kos-edge bootstrap status, and its log")
    elif not troubles:
        waiting = [
            step.text for step, mark in zip(Step, last.marks, strict=True) if mark and mark.outcome.waits
        ]
        more = f"; waiting: {', '.join(waiting)}" if runs and waiting else ""
        yield good(
            "bootstrap", f"start {last.number} went through all its steps, in {last.mode.value} mode{more}"
        )
