"""doctor: what is wrong with this node and its machine, each in one sentence with the mend."""

from __future__ import annotations

import asyncio
from dataclasses import asdict

import click

from kos_edge.cli.face import Face, common, pass_face

_MARKS = {"good": "ok", "warning": "warning", "bad": "BAD"}
SICK = 1
"""The exit code where something is bad."""


@click.command()
@click.option("--quiet", "-q", is_flag=True, help="Only what is not well.")
@common
@pass_face
def doctor(face: Face, quiet: bool) -> int:
    """Look at this node and its machine, and say what is wrong and what to do. Changes nothing.

    Exits with 1 if something does not work. Run it as the user of the daemon, or as root.
    """
    from kos_edge.doctor.examine import examine
    from kos_edge.doctor.patient import Patient

    patient = Patient(face.state)
    asyncio.run(patient.ask())
    findings = []
    for finding in examine(patient):
        findings.append(finding)
        if not face.json and not (quiet and finding.mark == "good"):
            click.echo(f"{_MARKS[finding.mark]:8} {finding.check:14} {finding.said}")
            if finding.mend:
                click.echo(f"{'':8} {'':14} next: {finding.mend}")
    sick = sum(finding.mark == "bad" for finding in findings)
    warned = sum(finding.mark == "warning" for finding in findings)
    text = f"{sick} bad, {warned} to know of, {len(findings) - sick - warned} well"
    face.answer({"healthy": not sick, "findings": [asdict(each) for each in findings]}, text)
    return SICK if sick else 0
