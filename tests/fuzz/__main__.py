"""`python -m tests.fuzz`: all targets for so many seconds, in turns; fails when something escapes."""

from __future__ import annotations

import argparse
import hashlib
import random
import sys
import time

from tests.fuzz.engine import ROOT, Campaign, Finding, Tally, Target, attempt, targets

TURN = 200
"""Executions of a target before the next one's turn."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="how long, all targets together")
    parser.add_argument("--seed", type=int, default=time.time_ns() & 0xFFFFFFFF, help="decides the inputs")
    parser.add_argument("--replay", metavar="HEX", help="give this one input to the targets named")
    parser.add_argument("targets", nargs="*", metavar="TARGET")
    options = parser.parse_args()
    known = {target.name: target for target in targets()}
    unknown = sorted(set(options.targets) - known.keys())
    if unknown:
        parser.error(f"no target is called {', '.join(unknown)}; there are {', '.join(known)}")
    chosen = [known[name] for name in options.targets] or list(known.values())
    if options.replay is not None:
        found = [attempt(target, bytes.fromhex(options.replay), Tally())[0] for target in chosen]
        findings = [finding for finding in found if finding]
    else:
        print(f"{len(chosen)} targets for {options.seconds:.0f} s, seed {options.seed}", flush=True)
        findings = _in_turns(chosen, options.seconds, options.seed)
    for finding in findings:
        _report(finding)
    return 1 if findings else 0


def _in_turns(chosen: list[Target], seconds: float, seed: int) -> list[Finding]:
    campaigns = [Campaign(target, random.Random(f"{seed} {target.name}")) for target in chosen]
    findings: dict[str, Finding] = {}
    end = time.monotonic() + seconds
    while time.monotonic() < end and len(findings) < len(chosen):
        for campaign in campaigns:
            name = campaign.target.name
            if name not in findings and time.monotonic() < end:
                finding = campaign.run(TURN)
                if finding:
                    findings[name] = finding
    width = max(len(target.name) for target in chosen)
    for campaign in campaigns:
        name, tally = campaign.target.name, campaign.tally
        print(
            f"{name:{width}}  {tally.executions:>9,} inputs  {tally.rejected:>9,} rejected  "
            f"slowest {tally.slowest * 1000:7.2f} ms  {'FINDING' if name in findings else 'ok'}"
        )
    print(
        f"{sum(campaign.tally.executions for campaign in campaigns):,} executions, {len(findings)} findings"
    )
    return list(findings.values())


def _report(finding: Finding) -> None:
    folder = ROOT / ".fuzz"
    folder.mkdir(exist_ok=True)
    kept = folder / f"{finding.target}-{hashlib.sha256(finding.data).hexdigest()[:12]}"
    kept.write_bytes(finding.data)
    print(f"\n{finding.target}: {len(finding.data)} bytes, kept in {kept.relative_to(ROOT)}\n{finding.what}")
    print(f"to see it again: python -m tests.fuzz {finding.target} --replay {finding.data.hex()}")


if __name__ == "__main__":
    sys.exit(main())
