#!/bin/sh
# Temporal's server, all its roles in one process. It is configured by its environment.
#
# Environment: as the server's own configuration template reads it, and POSTGRES_PWD_FILE.
set -eu

POSTGRES_PWD=$(cat "$POSTGRES_PWD_FILE")
export POSTGRES_PWD

# Its roles find each other by an address, not by a name.
if [ -z "${BIND_ON_IP:-}" ]; then
    BIND_ON_IP=$(getent hosts "$(hostname)" | awk '{print $1; exit}')
    export BIND_ON_IP
fi

# Who may call is a matter of who reaches the port, and of TLS: see docs/security.md.
exec temporal-server --allow-no-auth start
