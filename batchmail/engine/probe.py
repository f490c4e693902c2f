"""Ask whether Temporal answers this client, for its namespace: server, login and database in one call."""

from __future__ import annotations

from datetime import timedelta

from temporalio.api.workflowservice.v1 import DescribeNamespaceRequest
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

_PATIENCE = timedelta(seconds=2)


async def why_no_answer(client: Client) -> str:
    """Why Temporal does not answer, or "" when it does. A server that is too busy has answered."""
    try:
        await client.workflow_service.describe_namespace(
            DescribeNamespaceRequest(namespace=client.namespace), retry=False, timeout=_PATIENCE
        )
    except RPCError as error:
        if error.status is not RPCStatusCode.RESOURCE_EXHAUSTED:
            return f"Temporal does not answer it ({error.status.name})"
    return ""
