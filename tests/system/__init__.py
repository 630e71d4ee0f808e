"""Whole computers: Debian with its own systemd, booted in containers on one bridge, with disks that can lose power.

`image` builds the Debian that they start from, `machine` is one of them, `plant` a hub and its edges with the package
installed. `python -m tests.system` is `make demo-system`.
"""
