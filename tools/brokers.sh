#!/usr/bin/env bash
# Install the brokers that `make faults` and `make bench` measure beside kos-edge: Debian's mosquitto and nats-server.
# Their packages bring system services. Those are not for us: one that comes with this is neither started nor enabled.
set -u
cd "$(dirname "$0")/.."
wanted=()
for package in mosquitto nats-server; do
    [ -x "/usr/sbin/$package" ] || wanted+=("$package")
done
[ ${#wanted[@]} = 0 ] && exit 0
root=()
[ "$(id -u)" = 0 ] || root=(sudo -n)

# What a package's installation asks before it starts a service; 101 says no. A machine may have its own answer.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ] && "${root[@]}" true 2>/dev/null; then
    printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee $policy >/dev/null && "${root[@]}" chmod 755 $policy
    trap '"${root[@]}" rm -f $policy' EXIT
fi
tools/apt.sh "${wanted[@]}" || exit 1
for package in "${wanted[@]}"; do
    echo "Leaving the system's own service $package switched off"
    command -v systemctl >/dev/null && "${root[@]}" systemctl --quiet disable "$package" 2>/dev/null
    [ -e "/etc/init.d/$package" ] && "${root[@]}" update-rc.d "$package" disable 2>/dev/null
done
exit 0
