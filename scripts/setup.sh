#!/bin/sh
# Make the virtual environment as uv.lock says. Needs python3; gets uv by itself where there is none.
# Done already, it touches neither the network nor anything else.
set -eu
cd "$(dirname "$0")/.."

stamp=.venv/uv.lock.installed
if cmp -s uv.lock "$stamp" && .venv/bin/python -c '' 2>/dev/null; then
    exit 0
fi

# A virtual environment of the caller's must not be taken for ours.
unset VIRTUAL_ENV
export UV_PROJECT_ENVIRONMENT=.venv

private="${XDG_CACHE_HOME:-$HOME/.cache}/batchmail/uv"
if command -v uv >/dev/null 2>&1; then
    uv=uv
else
    uv="$private/bin/uv"
    if ! "$uv" --version >/dev/null 2>&1; then
        echo "Getting uv, which installs everything else (once) …"
        rm -rf "$private"
        if ! python3 -m venv "$private" || ! "$private/bin/python" -m pip install --quiet 'uv>=0.7'; then
            echo "uv cannot be installed: install it (https://docs.astral.sh/uv), or Python's venv and pip." >&2
            exit 1
        fi
    fi
fi

echo "Installing the Python packages of uv.lock …"
# Compiled now, a worker starts in under a second also where Python may not write its caches.
"$uv" sync --frozen --quiet --compile-bytecode
cp uv.lock "$stamp"
