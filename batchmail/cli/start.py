"""The command line of starter.py: its options, its help, and its exit codes."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
import uvloop
from typer.core import TyperCommand
from typer.exceptions import TyperException

from batchmail.batch.options import InDoubt
from batchmail.cli.help import GroupedHelp
from batchmail.cli.interruption import EXIT_CODE as INTERRUPTED
from batchmail.cli.interruption import interruptible
from batchmail.cli.screen import Screen
from batchmail.cli.starting import Command
from batchmail.cli.surroundings import Working
from batchmail.cli.wishes import Wishes
from batchmail.engine.leaving import leave
from batchmail.errors import BatchmailError
from batchmail.settings import read_settings

OUR_FAULT = 70
"""Exit code of a mistake of the program's own (EX_SOFTWARE), so that it is never taken for a batch's."""

_WHAT, _WHO, _HOW, _RUN, _OUTPUT = (
    "What is mailed",
    "Which batch",
    "How it is mailed",
    "Where it runs",
    "Output",
)


class StarterHelp(GroupedHelp):
    """The help of starter.py."""

    usage = "python starter.py --list CSV [OPTIONS]"
    closing = (
        (
            "Examples",
            (
                ("python starter.py --dev --list examples/emails.csv", "try it out, all on this machine"),
                ("python starter.py --list customers.csv --dry-run", "check everything, send nothing"),
                ("python starter.py --list customers.csv", "mail through your server's workers"),
                ("python starter.py --list customers.csv --detach", "the same, without waiting"),
            ),
        ),
        (
            "Exit codes",
            (
                ("0", "every usable recipient was sent"),
                ("1", "the batch has ended, and somebody was not"),
                ("2", "something given cannot be used, or was refused"),
                ("3", "Temporal, the store or the relay is out of reach"),
                ("130", "ended by Ctrl-C"),
            ),
        ),
    )


app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command(cls=StarterHelp, context_settings={"help_option_names": ["-h", "--help"]})
def starter(
    context: typer.Context,
    list_: Annotated[
        str,
        typer.Option(
            "--list", metavar="CSV", help="The recipients: a CSV file with a header.", rich_help_panel=_WHAT
        ),
    ],
    message: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The message, .md or .txt; default: message.md or message.txt beside the list.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    email_column: Annotated[
        str | None,
        typer.Option(
            metavar="NAME", help="The column with the addresses; default: email.", rich_help_panel=_WHAT
        ),
    ] = None,
    subject: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="The subject, before the message's own.", rich_help_panel=_WHAT),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="MAILBOX",
            help="The sender ('Name <address>'), before the message's own and MAIL_FROM.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    admin: Annotated[
        str | None,
        typer.Option(
            metavar="ADDRESSES",
            help="Who is told when the batch has ended, separated by commas; default: ADMIN_EMAIL.",
            rich_help_panel=_WHAT,
        ),
    ] = None,
    batch_id: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="A name of your own for the batch; default: derived from list and message.",
            rich_help_panel=_WHO,
        ),
    ] = None,
    again: Annotated[
        bool,
        typer.Option("--again", help="Mail anew what has been mailed before.", rich_help_panel=_WHO),
    ] = False,
    connections: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Connections to the relay, over all workers; default: BATCH_CONNECTIONS or 20.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    in_doubt: Annotated[
        InDoubt,
        typer.Option(
            metavar="resend|hold",
            help="Who may or may not have been mailed when something broke: mail again under the same "
            "Message-ID (default), or hold and report as unknown.",
            rich_help_panel=_HOW,
        ),
    ] = InDoubt.RESEND,
    slice_size: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="Recipients a slice; default: chosen by the list's length.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    dev: Annotated[
        bool,
        typer.Option(
            "--dev",
            help="Bring everything along: a Temporal server, a worker and, without SMTP_HOST, a mailbox.",
            rich_help_panel=_RUN,
        ),
    ] = False,
    detach: Annotated[
        bool, typer.Option("--detach", help="Start the batch and do not wait.", rich_help_panel=_RUN)
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Check everything, show the first mail, send nothing.", rich_help_panel=_RUN
        ),
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Do not ask before mailing.", rich_help_panel=_RUN)
    ] = False,
    json_: Annotated[
        bool,
        typer.Option(
            "--json",
            help="The result as one JSON object on stdout; with --detach batch_id and status running, with "
            "--dry-run what would be done.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    debug: Annotated[
        bool,
        typer.Option("--debug", help="Tracebacks and the worker's log lines.", rich_help_panel=_OUTPUT),
    ] = False,
) -> int:
    """Mail every recipient of a list once, durably: nobody is lost, and nobody is silently mailed twice.

    The same command again goes on with the batch, or shows what a finished one came to.
    """
    call: _Call = context.obj
    wishes = Wishes(
        list=list_,
        message=message,
        email_column=email_column,
        subject=subject,
        sender=from_,
        admin=admin,
        batch_id=batch_id,
        connections=connections,
        in_doubt=in_doubt,
        slice_size=slice_size,
        detach=detach,
        again=again,
        yes=yes,
        json_wanted=json_,
        dev=dev,
        dry_run=dry_run,
        debug=debug,
    )
    command = Command(wishes, call.arguments, read_settings(), call.working, call.screen)
    return uvloop.run(interruptible(command.run, call.screen))


class _Call:
    """What the command needs beside its options."""

    def __init__(self, working: Working, arguments: Sequence[str]) -> None:
        self.working = working
        self.arguments = tuple(arguments)
        self.screen = Screen()


def run(working: Working) -> NoReturn:
    """The whole of starter.py: `working` serves the task queue with --dev."""
    leave(main(working, sys.argv[1:]))


def main(working: Working, arguments: Sequence[str]) -> int:
    """The exit code of a call with these arguments; every failure is one line on stderr."""
    call = _Call(working, arguments)
    command = typer.main.get_command(app)
    if not isinstance(command, TyperCommand):
        raise TypeError("the app has exactly one command")
    try:
        return int(
            command.main([*arguments], prog_name="python starter.py", standalone_mode=False, obj=call) or 0
        )
    except TyperException as error:
        said = error.format_message().replace("Value error, ", "").rstrip(".")
        call.screen.error(f"{said}: see python starter.py --help.")
        return 2
    except BatchmailError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        call.screen.error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        call.screen.error(
            f"a mistake of this program's own ({type(error).__name__}: {error}); the batch, if started, "
            "is safe: the same command goes on with it. --debug shows where."
        )
        return OUR_FAULT
