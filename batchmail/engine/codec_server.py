"""Let Temporal's Web UI and command line show what is encrypted: a codec server, on this machine only.

    python -m batchmail.engine.codec_server --ui http://127.0.0.1:8080

takes the keys from BATCH_ENCRYPTION_KEYS and answers POST /decode and /encode, as Temporal's remote data
encoding asks it to (docs.temporal.io/remote-data-encoding). It listens on loopback: whoever can reach it can
read what is encrypted. Only pages of the Web UI at `--ui` may ask it from a browser.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from google.protobuf import json_format
from temporalio.api.common.v1 import Payloads

from batchmail.engine.encryption import Encryption, read_keys
from batchmail.engine.ports import LOOPBACK
from batchmail.errors import BatchmailError, EncryptionError, SettingsError
from batchmail.settings import read_settings

_LARGEST = 64 << 20  # octets of one request; a history page is far smaller


class CodecServer(ThreadingHTTPServer):
    """Answers until it is shut down. Port 0 is any free one; `ui` is the origin of the Web UI."""

    def __init__(self, codec: Encryption, port: int, ui: str | None = None) -> None:
        super().__init__((LOOPBACK, port), _Answer)
        self.codec, self.ui = codec, ui

    @property
    def url(self) -> str:
        """What Web UI and command line take as codec endpoint."""
        return f"http://{LOOPBACK}:{self.server_port}"


class _Answer(BaseHTTPRequestHandler):
    """One request. The names are those of the standard library."""

    server: CodecServer
    timeout = 30  # seconds for a request to arrive

    def do_POST(self) -> None:
        does = {"/decode": self.server.codec.decode, "/encode": self.server.codec.encode}.get(self.path)
        size = self.headers.get("Content-Length", "")
        if does is None or not size.isdecimal() or int(size) > _LARGEST:
            self._say(HTTPStatus.NOT_FOUND if does is None else HTTPStatus.BAD_REQUEST)
            return
        try:
            asked = json_format.Parse(self.rfile.read(int(size)), Payloads())
            answer = Payloads(payloads=asyncio.run(does(asked.payloads)))
        except json_format.ParseError:
            self._say(HTTPStatus.BAD_REQUEST, "The request holds no payloads.")
        except EncryptionError as error:
            self._say(HTTPStatus.BAD_REQUEST, str(error))
        else:
            self._say(HTTPStatus.OK, json_format.MessageToJson(answer), "application/json")

    def do_OPTIONS(self) -> None:
        """What a browser asks before it lets the Web UI's page ask."""
        self._say(HTTPStatus.NO_CONTENT)

    def log_message(self, *_: Any) -> None:
        """Nothing."""

    def _say(self, status: HTTPStatus, text: str = "", kind: str = "text/plain") -> None:
        body = text.encode()
        self.send_response(status)
        if self.server.ui is not None:
            self.send_header("Access-Control-Allow-Origin", self.server.ui)
            self.send_header("Access-Control-Allow-Methods", "POST")
            self.send_header("Access-Control-Allow-Headers", "Authorization, Content-Type, X-Namespace")
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> int:
    """Serve until Ctrl-C; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m batchmail.engine.codec_server",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--port", type=int, default=8081, help="listen here (8081)")
    parser.add_argument("--ui", metavar="URL", help="the Web UI's address as the browser shows it")
    options = parser.parse_args()
    try:
        secret = read_settings().batch_encryption_keys
        if secret is None:
            raise SettingsError("BATCH_ENCRYPTION_KEYS is not set: there is nothing to decrypt with.")
        codec = Encryption(read_keys(secret.get_secret_value()))
        with CodecServer(codec, options.port, options.ui and options.ui.rstrip("/")) as server:
            print(f"Codec endpoint: {server.url}  (Ctrl-C ends it)", flush=True)  # noqa: T201
            server.serve_forever()
    except KeyboardInterrupt:
        return 0
    except OSError as error:
        print(f"error: Port {options.port} cannot be had: {error.strerror}.", file=sys.stderr)  # noqa: T201
        return 3
    except BatchmailError as error:
        print(f"error: {error}", file=sys.stderr)  # noqa: T201
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
