#!/usr/bin/env python3
"""Mail a list, durably.

    python starter.py --dev --list examples/emails.csv     all on this machine, into a local mailbox
    python starter.py --list customers.csv --dry-run       check everything, send nothing
    python starter.py --list customers.csv                 start the batch on your Temporal server
    python starter.py --help                               every option
    python starter.py purge --older-than 90d               remove what is personal in batches that have ended

The same command again attaches to the running batch, or shows what a finished one came to: starting twice
is harmless.
"""

if __name__ == "__main__":
    from batchmail.interpreter import use_project_interpreter

    use_project_interpreter(__file__)

    from batchmail.cli.start import run
    from worker import working

    run(working)
