"""Call one command: its exit code, and every failure as one line on stderr."""

from __future__ import annotations

import traceback
from collections.abc import Sequence

import typer
from typer.core import TyperCommand
from typer.exceptions import TyperException

from batchmail.cli.interruption import EXIT_CODE as INTERRUPTED
from batchmail.cli.screen import Screen
from batchmail.errors import BatchmailError

OUR_FAULT = 70
"""Exit code of a mistake of the program's own (EX_SOFTWARE), so that it is never taken for a batch's."""


def called(
    app: typer.Typer, name: str, arguments: Sequence[str], context: object, screen: Screen, *, comfort: str
) -> int:
    """The exit code of the one command of `app`, known to people as `name`; `comfort` is said where it fails
    by a mistake of the program's own."""
    command = typer.main.get_command(app)
    if not isinstance(command, TyperCommand):
        raise TypeError("the app has exactly one command")
    try:
        return int(command.main([*arguments], prog_name=name, standalone_mode=False, obj=context) or 0)
    except TyperException as error:
        said = error.format_message().replace("Value error, ", "").rstrip(".")
        screen.error(f"{said}: see {name} --help.")
        return 2
    except BatchmailError as error:
        if "--debug" in arguments:
            traceback.print_exc()
        screen.error(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return INTERRUPTED
    except Exception as error:
        if "--debug" in arguments:
            traceback.print_exc()
        screen.error(
            f"a mistake of this program's own ({type(error).__name__}: {error}); {comfort}. "
            "--debug shows where."
        )
        return OUR_FAULT
