#!/bin/sh
# The current release, found once at the start: a process keeps the release that it began with, whatever is switched.
release=$(readlink -f /usr/lib/kos-edge/current) && [ -x "$release/bin/python3" ] || {
    echo "kos-edge: there is no release in /usr/lib/kos-edge/current" >&2
    echo "  next: dpkg --configure kos-edge, or install it again" >&2
    exit 69
}
exec "$release/bin/python3" -s -P -B -m kos_edge.cli "$@"
