"""What programs on this machine answer over HTTP; never by way of a proxy that the environment names."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

from benchmarks.processes import BenchmarkError

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def ask(url: str) -> str:
    """The text at `url`. Raises BenchmarkError."""
    return _answer(urllib.request.Request(url))


def order(url: str, content: dict[str, Any]) -> dict[str, Any]:
    """The JSON object that answers this one. Raises BenchmarkError."""
    found = json.loads(_answer(urllib.request.Request(url, data=json.dumps(content).encode())))
    assert isinstance(found, dict)
    return found


def _answer(request: urllib.request.Request) -> str:
    try:
        with _OPENER.open(request, timeout=10) as answer:
            return str(answer.read().decode())
    except OSError as error:
        raise BenchmarkError(f"{request.full_url} does not answer as it should: {error}") from None
