#!/bin/sh
# Mail the example list into a local mailbox and show what came of it. Never mails anybody for real.
set -eu
cd "$(dirname "$0")/.."
root=$PWD
export BATCH_STATE="${BATCH_STATE:-$root/var}"
mkdir -p "$BATCH_STATE"

# No relay of yours: neither from the environment nor from .env, which is read where the program runs.
unset SMTP_HOST SMTP_PORT SMTP_USERNAME SMTP_PASSWORD SMTP_PASSWORD_FILE SMTP_TLS MAIL_FROM BATCH_STORE
cd examples
"$root/.venv/bin/python" "$root/starter.py" --dev --list "$root/examples/emails.csv" "$@"

newest() { # the newest of the files given, or nothing
    # shellcheck disable=SC2012  # our own file names
    ls -t "$@" 2>/dev/null | head -n 1
}
report=$(newest "$BATCH_STATE"/store/batches/*/report.csv)
mail=$(newest "$BATCH_STATE"/mailbox/new/*)
if [ -n "$report" ]; then
    printf '\nThe report (%s) begins:\n' "$report"
    head -n 4 "$report" | sed 's/^/    /'
fi
if [ -n "$mail" ]; then
    printf '\nOne of the mails (%s):\n' "$mail"
    head -n 24 "$mail" | sed 's/^/    /'
fi
