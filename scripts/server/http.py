"""Whether a server of the stack answers by HTTP."""

from __future__ import annotations

import http.client

from batchmail.engine.ports import LOOPBACK


def answers(port: int, path: str) -> bool:
    """Whether this GET is answered by 200."""
    connection = http.client.HTTPConnection(LOOPBACK, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
