"""The command line of starter.py: its options, its help, and its exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, NoReturn

import typer
import uvloop
from typer.exceptions import TyperException

from batchmail.batch.options import InDoubt
from batchmail.batch.orders import Order
from batchmail.cli import orders, purge
from batchmail.cli.calling import called
from batchmail.cli.help import GroupedHelp
from batchmail.cli.interruption import interruptible
from batchmail.cli.screen import Screen
from batchmail.cli.starting import Command
from batchmail.cli.surroundings import Working
from batchmail.cli.wishes import Wishes
from batchmail.engine.leaving import leave
from batchmail.settings import read_settings

_WHAT, _WHO, _HOW, _RUN, _OUTPUT = (
    "What is mailed",
    "Which batch",
    "How it is mailed",
    "Where it runs",
    "Output",
)


_PURGE = "purge"
_COMMANDS = (*Order, _PURGE)


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
            "Other commands",
            (
                ("python starter.py status BATCH", "how far it is; pause, resume and cancel likewise"),
                ("python starter.py purge --help", "remove the personal data of batches that have ended"),
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
    give_up_after: Annotated[
        str | None,
        typer.Option(
            metavar="TIME",
            help="How long recipients whom the relay defers are tried again, such as 12h or 5d; default: "
            "BATCH_GIVE_UP_AFTER or 24h. Where BATCH_RETRY_DELAYS is set, that alone decides.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    max_rejected: Annotated[
        str | None,
        typer.Option(
            metavar="SHARE",
            help="Pause and ask the admins when more of those mailed are rejected (20%, off); default: "
            "BATCH_MAX_REJECTED or 20%.",
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
        give_up_after=give_up_after,
        max_rejected=max_rejected,
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
    os.umask(0o077)  # what it leaves behind names lists, batches and admins
    leave(main(working, sys.argv[1:]))


def main(working: Working, arguments: Sequence[str]) -> int:
    """The exit code of a call with these arguments; every failure is one line on stderr."""
    word, others = _word(arguments)
    if word == _PURGE:
        return called(
            purge.app,
            "python starter.py purge",
            others,
            screen := Screen(),
            screen,
            comfort="the same command goes on with what is left",
        )
    if word in set(Order):
        return called(
            orders.app_for(Order(word)),
            f"python starter.py {word}",
            others,
            screen := Screen(),
            screen,
            comfort="the batch is safe, whether it has heard of it or not",
        )
    call = _Call(working, arguments)
    if word:
        call.screen.error(
            f"No such command: {word}; there are {', '.join(Order)} and {_PURGE}, and a list is given with "
            "--list: see python starter.py --help."
        )
        return 2
    return called(
        app,
        "python starter.py",
        arguments,
        call,
        call.screen,
        comfort="the batch, if started, is safe: the same command goes on with it",
    )


def _word(arguments: Sequence[str]) -> tuple[str, list[str]]:
    """The command that is called, and what was given beside it, before or behind; "" for the starter itself.

    A word beside --list that is no command is the starter's to refuse.
    """
    starter_itself = typer.main.get_command(app)
    context = typer.Context(starter_itself, allow_interspersed_args=False)
    try:
        options, behind, _ = starter_itself.make_parser(context).parse_args([*arguments])
        place, is_starter = len(arguments) - len(behind), "list_" in options
    except TyperException:  # an option of a command's own, or of nobody's: that one or the starter says so
        place = next((at for at, one in enumerate(arguments) if one in _COMMANDS), len(arguments))
        is_starter = True
    word = arguments[place] if place < len(arguments) else ""
    if word not in _COMMANDS and is_starter:
        return "", [*arguments]
    return word, [*arguments[:place], *arguments[place + 1 :]]
