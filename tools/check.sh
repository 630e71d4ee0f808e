#!/usr/bin/env bash
# Everything that tools can say about the tree, one after the other; fails if any of them has something to say.
set -u
cd "$(dirname "$0")/.."
failed=()

check() {
    local what=$1 output
    shift
    if output=$("$@" 2>&1); then
        printf 'ok      %s\n' "$what"
    else
        printf 'FAILED  %s: %s\n%s\n\n' "$what" "$*" "$output"
        failed+=("$what")
    fi
}

bin=.venv/bin
check "style" $bin/ruff check --output-format concise .
check "format" $bin/ruff format --check .
check "types" $bin/mypy
check "imports" $bin/lint-imports
check "wire formats against the vectors" $bin/python -m tests.vectors.check_cddl
check "tree" $bin/python tools/check_tree.py

[ ${#failed[@]} = 0 ] || { printf '%d of 6 checks failed\n' ${#failed[@]}; exit 1; }
