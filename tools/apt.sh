#!/usr/bin/env bash
# Install Debian packages, saying so first: as root, or with sudo where it asks for no password.
# Otherwise print the command for a person to run, and fail.
set -u
export DEBIAN_FRONTEND=noninteractive
install="apt-get install --yes --no-install-recommends $*"

if ! command -v apt-get >/dev/null; then
    echo "This machine has no apt-get. Install by its own means what Debian calls: $*" >&2
    exit 1
fi
if [ "$(id -u)" = 0 ]; then
    sudo=()
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    sudo=(sudo -n)
else
    printf 'Debian packages are missing, and installing them needs root. Please run:\n\n    sudo %s\n\n' "$install" >&2
    exit 1
fi

echo "Installing Debian packages: $*"
quiet() { "${sudo[@]}" env DEBIAN_FRONTEND=noninteractive "$@" >/dev/null; }
# The package lists of a fresh system are empty or old: fetch them and try once more.
if ! quiet $install 2>/dev/null; then
    quiet apt-get update && quiet $install || {
        echo "Installing $* did not work; the words above are apt-get's. The command was: ${sudo[*]} $install" >&2
        exit 1
    }
fi
