"""Programs that tests, benchmarks and `make server` need beside Python, got once.

    python -m scripts.tools temporal smtp-sink toxiproxy

prints the path of each. What is going on is told on stderr. Each is looked for where a person has it
installed; failing that it is built by the Go toolchain or unpacked from Debian's package into the user's
cache folder, without root and without a change to the system.
"""

from scripts.tools.browser import chromium
from scripts.tools.debian import postgres, prometheus, promtool, smtp_sink
from scripts.tools.go import (
    mailpit,
    temporal,
    temporal_server,
    temporal_sql_tool,
    temporal_ui,
    toxiproxy,
    versitygw,
)

TOOLS = {
    "temporal": temporal,
    "temporal-server": temporal_server,
    "temporal-sql-tool": temporal_sql_tool,
    "temporal-ui": temporal_ui,
    "postgres": postgres,
    "mailpit": mailpit,
    "versitygw": versitygw,
    "toxiproxy": toxiproxy,
    "smtp-sink": smtp_sink,
    "prometheus": prometheus,
    "promtool": promtool,
    "chromium": chromium,
}

__all__ = [
    "TOOLS",
    "chromium",
    "mailpit",
    "postgres",
    "prometheus",
    "promtool",
    "smtp_sink",
    "temporal",
    "temporal_server",
    "temporal_sql_tool",
    "temporal_ui",
    "toxiproxy",
    "versitygw",
]
