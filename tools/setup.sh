#!/usr/bin/env bash
# Make .venv, or bring it up to date: `tools/setup.sh run` for kos-edge itself, `tools/setup.sh dev` for the tests too.
# The Python packages come from wherever this machine's pip is set to get them.
set -u
cd "$(dirname "$0")/.."
kind=${1:-run}
case $kind in
    run) what=. ;;
    dev) what='.[dev]' ;;
    *) echo "usage: tools/setup.sh run|dev" >&2; exit 64 ;;
esac

find_python() {
    local python
    for python in ${PYTHON:-python3 python3.14 python3.13 python3.12 python3.11 /usr/bin/python3}; do
        if command -v "$python" >/dev/null && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
            command -v "$python"
            return
        fi
    done
    echo "kos-edge needs Python 3.11 or later, and found none. On Debian 12 or 13: sudo apt-get install python3" >&2
    return 1
}

make_environment() {
    local python=$1
    echo "Making the virtual environment .venv with $("$python" --version)"
    if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
        # Debian keeps the parts of Python that make a virtual environment in a package of their own.
        tools/apt.sh python3-venv || return 1
    fi
    "$python" -m venv --clear .venv || {
        echo "That did not work. With the Debian package python3-venv it should: sudo apt-get install python3-venv" >&2
        rm -rf .venv
        return 1
    }
}

pip=(.venv/bin/python -m pip --disable-pip-version-check --quiet --quiet --no-input)

compiler_for_cffi() {
    # 32-bit ARM: cryptography has a wheel, the cffi it needs may have none and is then compiled.
    case $(.venv/bin/python -c 'import sysconfig; print(sysconfig.get_platform())') in
        *armv6l | *armv7l | *armv8l | *aarch64) ;;
        *) return 0 ;;
    esac
    .venv/bin/python -c 'import cffi' 2>/dev/null && return 0
    local scratch
    scratch=$(mktemp -d)
    "${pip[@]}" download --no-deps --only-binary=:all: --dest "$scratch" cffi >/dev/null 2>&1
    local status=$?
    rm -rf "$scratch"
    [ $status = 0 ] || tools/apt.sh gcc libc6-dev libffi-dev python3-dev
}

if ! .venv/bin/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
    python=$(find_python) || exit 1
    make_environment "$python" || exit 1
fi
compiler_for_cffi || exit 1
if [ "$kind" = dev ]; then
    echo "Installing kos-edge and what its tests need into .venv (a minute or two the first time)"
else
    echo "Installing kos-edge into .venv (a minute the first time)"
fi
# Wheels first: a newer release that only a compiler could install is no gain on a small machine.
"${pip[@]}" install --prefer-binary --editable "$what" || {
    echo "Installing the Python packages did not work; the words above are pip's." >&2
    exit 1
}
touch .venv/ready-run
[ "$kind" = run ] || touch .venv/ready-dev
