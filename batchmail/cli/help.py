"""--help as a person reads it: what it is, the options in groups, examples, exit codes."""

from __future__ import annotations

from itertools import groupby

from rich.console import Console
from rich.padding import Padding
from rich.table import Table
from rich.text import Text
from typer import Context
from typer.core import TyperCommand, TyperOption

_WIDEST, _FORMS = 110, 23


class GroupedHelp(TyperCommand):
    """A command whose help shows its options by their `rich_help_panel`, in the order they are written."""

    usage = ""
    closing: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = ()
    """What stands behind the options: (title, ((text, what it means), …)), …"""

    def format_help(self, ctx: Context, formatter: object) -> None:  # type: ignore[override]
        """Print the help on stdout."""
        console = Console(highlight=False, markup=False, emoji=False)
        console.width = min(console.width, _WIDEST)
        console.print(Text((self.help or "").strip()))
        console.print(Text.assemble("\n", ("Usage: ", "bold"), self.usage))
        options = [one for one in self.get_params(ctx) if isinstance(one, TyperOption)]
        for title, group in groupby(options, key=lambda one: one.rich_help_panel or "Help"):
            console.print(Text(f"\n{title}:", style="bold"))
            console.print(_rows([(_form(one), one.help or "") for one in group]))
        for title, rows in self.closing:
            console.print(Text(f"\n{title}:", style="bold"))
            console.print(_rows(rows))


def _form(option: TyperOption) -> str:
    """`-y, --yes`, `--list CSV`."""
    names = ", ".join(sorted(option.opts, key=len))
    return names if option.is_flag or not option.metavar else f"{names} {option.metavar}"


def _rows(rows: list[tuple[str, str]] | tuple[tuple[str, str], ...]) -> Padding:
    table = Table.grid(padding=(0, 2))
    table.add_column(style="cyan", no_wrap=True, min_width=_FORMS)
    table.add_column()
    for left, right in rows:
        table.add_row(Text(left), Text(right))
    return Padding(table, (0, 0, 0, 2))
