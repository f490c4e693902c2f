"""Run a command of the checkout with the Python that has its dependencies, whatever `python` was typed.

Importable with nothing installed, and by Pythons older than the program's own: no dependency, no new syntax.
"""

import os
import sys
from importlib.util import find_spec

OLDEST = (3, 11)

DEPENDENCIES = (
    "temporalio",
    "pydantic",
    "pydantic_settings",
    "dotenv",
    "aiosmtplib",
    "obstore",
    "uvloop",
    "email_validator",
    "jinja2",
    "markdown_it",
    "yaml",
    "typer",
    "rich",
    "aiosmtpd",
    "cryptography",
)
"""The top-level modules of pyproject.toml's dependencies, in its order."""


def use_project_interpreter(script):
    # type: (str) -> None
    """Return if this Python can run the program; else run `script` again with .venv's Python beside it.

    Where there is none, or it lacks something too: one sentence on stderr, exit code 2. Never returns then.
    """
    if sys.version_info >= OLDEST and all(find_spec(name) for name in DEPENDENCIES):
        return
    checkout = os.path.dirname(os.path.abspath(script))  # noqa: PTH100, PTH120
    environment = os.path.join(checkout, ".venv")  # noqa: PTH118
    python = os.path.join(environment, "bin", "python")  # noqa: PTH118
    if os.access(python, os.X_OK) and os.path.realpath(sys.prefix) != os.path.realpath(environment):
        os.execv(python, [python, os.path.abspath(script)] + sys.argv[1:])  # noqa: S606, PTH100, RUF005
    sys.stderr.write(
        "error: the program is not set up yet (it needs Python %d.%d with its dependencies): "  # noqa: UP031
        "run `make setup` in %s first.\n" % (OLDEST + (checkout,))  # noqa: RUF005
    )
    sys.exit(2)
