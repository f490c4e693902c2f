"""The production Temporal server on a private Postgres, without containers: `make server`, tests, benchmarks.

    with Stack(folder) as stack:
        client = await connect(address=stack.address)

What runs, and with which environment, stands in docker-compose.yml and deploy/temporal/; only addresses,
ports and paths differ.
"""

from scripts.server.faults import Faults
from scripts.server.postgres import Connection, Postgres
from scripts.server.stack import Stack
from scripts.server.temporal import Temporal

__all__ = ["Connection", "Faults", "Postgres", "Stack", "Temporal"]
