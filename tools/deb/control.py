"""What dpkg has to know of the package, and the scripts that it runs."""

from __future__ import annotations

from tools.deb.architecture import Architecture

_CONTROL = """\
Package: kos-edge
Version: {version}
Architecture: {architecture}
Maintainer: The kos-edge authors <kos-edge@invalid.example>
Installed-Size: {size}
Depends: {depends}
Recommends: adduser, avahi-daemon | systemd-resolved
Section: net
Priority: optional
Description: agent runtime for edge devices that loses nothing silently
 Nodes find each other by mDNS, prove who they are in a signed handshake, and
 carry signed messages over CoAP from a queue that survives power loss. It works
 offline: what was accepted is on this disk, and arrives once, in order.
 .
 The daemon starts as soon as there is a node: kos-edge install, or kos-edge init.
"""

_DEPENDS = ("python3 (>= 3.11)", "python3 (<< 3.14)", "libc6 (>= 2.34)", "libgcc-s1")


def control(version: str, architecture: Architecture, kibibytes: int) -> str:
    """The control file; `kibibytes` is the size when installed."""
    substitutes = [package for _, package in architecture.substitutes if package]
    return _CONTROL.format(
        version=version,
        architecture=architecture.debian,
        size=kibibytes,
        depends=", ".join([*_DEPENDS, *substitutes]),
    )


POSTINST = r"""#!/bin/sh
# The new release comes beside the old one, on trial: where it does not become healthy, the old one runs again,
# and this fails.
set -e

case "$1" in configure | abort-upgrade | abort-remove | abort-deconfigure) ;; *) exit 0 ;; esac

if command -v systemd-sysusers >/dev/null; then
    systemd-sysusers kos-edge.conf
elif ! getent passwd kos-edge >/dev/null; then
    useradd --system --user-group --home-dir /var/lib/kos-edge --shell /usr/sbin/nologin kos-edge
fi
for group in dialout gpio i2c spi; do
    if getent group "$group" >/dev/null; then usermod -a -G "$group" kos-edge; fi
done
if command -v systemd-tmpfiles >/dev/null && systemd-tmpfiles --create kos-edge.conf; then :; else
    install -d -m 755 /etc/kos-edge /etc/kos-edge/config.d
    install -d -m 750 -o kos-edge -g kos-edge /var/lib/kos-edge
fi

# Whose manifests count: the key that sealed this package, and those of the releases that may run again in its place. An
# administrator's config.toml has the last word.
anchors=/etc/kos-edge/config.d/00-package.toml
key='"RELEASE_KEY"'
if [ -f "$anchors" ]; then
    named=$(sed -n 's/^trust-anchors = \[\(.*\)\]$/\1/p' "$anchors" | tr -d ' ' | tr ',' '\n')
    before=$(printf '%s\n' "$named" | grep -vxF "$key" | head -n 2)
else
    before=
fi
cat >"$anchors.new" <<END
# Written by the package kos-edge at every upgrade. What you want otherwise, say in a file that comes after this one.
[security]
trust-anchors = [$key$(for one in $before; do printf ', %s' "$one"; done)]
END
mv "$anchors.new" "$anchors"

if [ -d /run/systemd/system ]; then systemctl --system daemon-reload || true; fi
if command -v deb-systemd-helper >/dev/null; then
    for unit in kos-edge.service kos-edge-settle.service; do
        deb-systemd-helper unmask "$unit" >/dev/null || true
        if deb-systemd-helper --quiet was-enabled "$unit"; then
            deb-systemd-helper enable "$unit" >/dev/null || true
        else
            deb-systemd-helper update-state "$unit" >/dev/null || true
        fi
    done
elif command -v systemctl >/dev/null && [ -z "$2" ]; then
    systemctl preset kos-edge.service kos-edge-settle.service || true
fi

/usr/lib/kos-edge/package/bin/python3 -s -P -B -m kos_edge.cli release activate

# With a node that is there already the daemon starts at once; without one its condition says no, and nothing happens.
if [ -d /run/systemd/system ] && [ -z "$2" ]; then
    systemctl start kos-edge.service || true
fi
exit 0
"""

PRERM = """\
#!/bin/sh
set -e
# An upgrade does not stop the daemon: the new release does, once it is there.
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl stop kos-edge.service 'kos-edge@*.service' || true
fi
exit 0
"""

POSTRM = """\
#!/bin/sh
set -e
if [ "$1" = remove ] || [ "$1" = purge ]; then
    rm -rf /usr/lib/kos-edge
    rm -f /etc/kos-edge/config.d/00-package.toml
    if [ -d /run/systemd/system ]; then systemctl --system daemon-reload || true; fi
fi
if [ "$1" = remove ] && command -v deb-systemd-helper >/dev/null; then
    deb-systemd-helper mask kos-edge.service kos-edge-settle.service >/dev/null || true
fi
if [ "$1" = purge ]; then
    if command -v deb-systemd-helper >/dev/null; then
        deb-systemd-helper purge kos-edge.service kos-edge-settle.service >/dev/null || true
        deb-systemd-helper unmask kos-edge.service kos-edge-settle.service >/dev/null || true
    fi
    for state in /var/lib/kos-edge-*; do
        if [ -e "$state/node.key" ] || [ -e "$state/node.key.copy" ]; then rm -rf "$(readlink -f "$state")" "$state"; fi
    done
    rm -rf /var/lib/kos-edge /var/lib/private/kos-edge /etc/kos-edge /var/cache/kos-edge
    rm -rf /etc/systemd/system/kos-edge.service.d /etc/systemd/system/kos-edge@*.service.d
    rm -f /etc/credstore.encrypted/kos-edge.vault-key
    # A person's account of that name is left alone.
    if getent passwd kos-edge >/dev/null && [ "$(id -u kos-edge)" -lt 1000 ]; then
        userdel kos-edge >/dev/null 2>&1 || true
        if getent group kos-edge >/dev/null; then groupdel kos-edge >/dev/null 2>&1 || true; fi
    fi
    if [ -d /run/systemd/system ]; then
        systemctl --system daemon-reload || true
        systemctl reset-failed kos-edge.service 2>/dev/null || true
    fi
fi
exit 0
"""

SCRIPTS = {"postinst": POSTINST, "prerm": PRERM, "postrm": POSTRM}

COPYRIGHT = """\
kos-edge: copyright the kos-edge authors, licensed under Apache-2.0. On Debian systems the text is in
/usr/share/common-licenses/Apache-2.0.

The Python packages inside, in /usr/lib/kos-edge/package/lib/python3/site-packages: copyright their authors. Each has
its licence in the folder beside it that ends in .dist-info.
"""
