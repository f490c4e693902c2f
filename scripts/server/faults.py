"""A Temporal server whose database calls fail as often as told: its fault injection, for tests.

The server reads this from a file only, so all its configuration goes there, with the values that its
environment would have given it.
"""

from __future__ import annotations

from collections.abc import Mapping

Faults = Mapping[str, Mapping[str, Mapping[str, float]]]
"""Data store → method → error → how often, from 0 to 1. Errors are `Timeout`, `ExecuteAndTimeout` (done, and
told to have failed), `Unavailable`, `ResourceExhausted`, `ShardOwnershipLost`, `DeadlineExceeded`:

    {"ExecutionStore": {"UpdateWorkflowExecution": {"ExecuteAndTimeout": 0.05}}}
"""


def configuration(faults: Faults, environment: Mapping[str, str], *, seed: int) -> dict[str, object]:
    """The server's configuration; the same seed draws the same faults."""
    host, here = environment["BIND_ON_IP"], environment

    def rpc(role: str) -> dict[str, object]:
        ports = {
            "grpcPort": int(here[f"{role}_GRPC_PORT"]),
            "membershipPort": int(here[f"{role}_MEMBERSHIP_PORT"]),
        }
        http = {"httpPort": int(here["FRONTEND_HTTP_PORT"])} if role == "FRONTEND" else {}
        return {"rpc": {**ports, **http, "bindOnIP": host}}

    def store(database: str) -> dict[str, object]:
        return {
            "pluginName": here["DB"],
            "databaseName": here[database],
            "connectAddr": f"{here['POSTGRES_SEEDS']}:{here['DB_PORT']}",
            "connectProtocol": "tcp",
            "user": here["POSTGRES_USER"],
            "password": here["POSTGRES_PWD"],
            "maxConns": 20,
            "maxIdleConns": 20,
        }

    targets = {
        name: {
            "methods": {method: {"errors": dict(errors), "seed": seed} for method, errors in methods.items()}
        }
        for name, methods in faults.items()
    }
    return {
        "log": {"stdout": True, "level": here["LOG_LEVEL"]},
        "persistence": {
            "numHistoryShards": int(here["NUM_HISTORY_SHARDS"]),
            "defaultStore": "default",
            "visibilityStore": "visibility",
            "datastores": {
                "default": {"sql": store("DBNAME"), "faultInjection": {"targets": {"dataStores": targets}}},
                "visibility": {"sql": store("VISIBILITY_DBNAME")},
            },
        },
        "global": {"membership": {"maxJoinDuration": "30s", "broadcastAddress": host}},
        "services": {role.lower(): rpc(role) for role in ("FRONTEND", "HISTORY", "MATCHING", "WORKER")},
        "clusterMetadata": {
            "failoverVersionIncrement": 10,
            "masterClusterName": "active",
            "currentClusterName": "active",
            "clusterInformation": {
                "active": {
                    "enabled": True,
                    "initialFailoverVersion": 1,
                    "rpcName": "frontend",
                    "rpcAddress": f"{host}:{here['FRONTEND_GRPC_PORT']}",
                }
            },
        },
        "dynamicConfigClient": {"filepath": here["DYNAMIC_CONFIG_FILE_PATH"], "pollInterval": "60s"},
    }
