#!/bin/sh
# The worker, as the user whom this checkout belongs to: starter and worker share the files of the store, which
# nobody else may read.
#
# Environment: the program's settings (.env). Without a relay of yours mail ends in Mailpit, where that runs.
set -eu

here=$(dirname "$0")
state=${BATCH_STATE:?}

case ${BATCH_STORE:-} in
    '' | s3://* | gs://* | az://*) ;;
    *)
        echo "BATCH_STORE names a folder of the host, $BATCH_STORE, which this container does not see:" \
            "leave it unset (the store is var/store), or name an object store." >&2
        exit 2
        ;;
esac

if [ -z "${SMTP_HOST:-}" ]; then
    if ! getent hosts mailpit >/dev/null; then
        echo "SMTP_HOST is not set: name your relay in .env, or try it with a mailbox that delivers nothing:" \
            "docker compose --profile dev up --detach" >&2
        exit 2
    fi
    export SMTP_HOST=mailpit SMTP_PORT=1025 SMTP_TLS=none
fi

if [ "$(id -u)" != 0 ]; then
    exec python worker.py
fi
owner=$(stat -c %u "$here")
group=$(stat -c %g "$here")
# Docker makes the folder where there is none yet, and makes it root's.
if [ "$(stat -c %u "$state")" != "$owner" ]; then
    chmod 700 "$state"
    chown "$owner:$group" "$state"
fi
exec setpriv --reuid="$owner" --regid="$group" --clear-groups --no-new-privs -- python worker.py
