"""The production Temporal server behind TLS: in memory, with certificates and permissions as a test wants."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import yaml
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from scripts.server.ports import choose
from scripts.tools import temporal_server

HOST = "127.0.0.1"


class ServerFiles(NamedTuple):
    """Chain and key of the server, whose authority is `authority`; `clients` is the authority whose clients
    alone are let in, None where every client is."""

    certificate: Path
    key: Path
    authority: Path
    clients: Path | None = None


class Signer:
    """Signs API keys; `where` is the file by which a server knows them again."""

    def __init__(self, folder: Path) -> None:
        self._key = rsa.generate_private_key(65537, 2048)
        public = self._key.public_key().public_numbers()
        known = {
            "kty": "RSA",
            "alg": "RS256",
            "use": "sig",
            "kid": "tests",
            "n": _base64(public.n.to_bytes(256)),
            "e": _base64(public.e.to_bytes(3)),
        }
        self.where = folder / "keys.json"
        self.where.write_text(json.dumps({"keys": [known]}))

    def api_key(self, *permissions: str) -> str:
        """A JSON Web Token (RFC 7519) with these permissions, such as `default:write`; good for an hour."""
        said = {"sub": "tests", "permissions": permissions, "exp": int(time.time()) + 3600}
        head = {"alg": "RS256", "typ": "JWT", "kid": "tests"}
        signed = ".".join(_base64(json.dumps(part).encode()) for part in (head, said))
        signature = self._key.sign(signed.encode(), padding.PKCS1v15(), hashes.SHA256())
        return f"{signed}.{_base64(signature)}"


def _base64(octets: bytes) -> str:
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


class SecureServer:
    """Runs while inside; it has no namespace until one is registered. With `signer` it asks for API keys."""

    def __init__(self, folder: Path, files: ServerFiles, signer: Signer | None = None) -> None:
        self._folder = folder
        self._ports = choose(9)
        self._files, self._signer = files, signer
        self.port = self._ports[0]
        self.address = f"{HOST}:{self.port}"

    def __enter__(self) -> Self:
        (self._folder / "server.yaml").write_text(yaml.safe_dump(self._config()))
        (self._folder / "dynamic.yaml").write_text("{}\n")
        self._log = self._folder / "server.log"
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    temporal_server(),
                    "--config-file",
                    self._folder / "server.yaml",
                    "--allow-no-auth",
                    "start",
                ],
                cwd=self._folder,
                env={name: os.environ[name] for name in ("PATH", "HOME", "BATCHMAIL_TEST_SESSION")},
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        until = time.monotonic() + 60
        while b"Frontend is now healthy" not in self._log.read_bytes():
            if self._process.poll() is not None or time.monotonic() > until:
                self._end()
                raise RuntimeError(f"the server did not come up:\n{self._log.read_text()[-3000:]}")
            time.sleep(0.05)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait(10)

    def _config(self) -> dict[str, Any]:
        """As Temporal's documentation of the server's configuration has it."""
        names = ("frontend", "history", "matching", "worker")
        ports = iter(self._ports[1:])
        services: dict[str, Any] = {
            name: {
                "rpc": {
                    "grpcPort": self.port if name == "frontend" else next(ports),
                    "membershipPort": next(ports),
                    "bindOnIP": HOST,
                }
            }
            for name in names
        }
        store = {
            "sql": {
                "pluginName": "sqlite",
                "databaseName": "secure",
                "connectAddr": "localhost",
                "connectProtocol": "tcp",
                "connectAttributes": {"mode": "memory", "cache": "private"},
                "maxConns": 1,
                "maxIdleConns": 1,
            }
        }
        return {
            "log": {"stdout": True, "level": "info"},
            "persistence": {
                "defaultStore": "store",
                "visibilityStore": "store",
                "numHistoryShards": 1,
                "datastores": {"store": store},
            },
            "global": {
                "membership": {"maxJoinDuration": "30s", "broadcastAddress": HOST},
                "tls": {"frontend": self._tls()},
                "authorization": self._authorization(),
            },
            "services": services,
            "clusterMetadata": {
                "failoverVersionIncrement": 10,
                "masterClusterName": "active",
                "currentClusterName": "active",
                "clusterInformation": {
                    "active": {
                        "enabled": True,
                        "initialFailoverVersion": 1,
                        "rpcName": "frontend",
                        "rpcAddress": self.address,
                    }
                },
            },
            "dynamicConfigClient": {"filepath": str(self._folder / "dynamic.yaml"), "pollInterval": "60s"},
        }

    def _tls(self) -> dict[str, Any]:
        server: dict[str, Any] = {"certFile": str(self._files.certificate), "keyFile": str(self._files.key)}
        if self._files.clients is not None:
            server |= {"requireClientAuth": True, "clientCaFiles": [str(self._files.clients)]}
        return {
            "server": server,
            "client": {"serverName": HOST, "rootCaFiles": [str(self._files.authority)]},
        }

    def _authorization(self) -> dict[str, Any]:
        if self._signer is None:
            return {}
        return {
            "jwtKeyProvider": {"keySourceURIs": [f"file://{self._signer.where}"]},
            "permissionsClaimName": "permissions",
            "authorizer": "default",
            "claimMapper": "default",
        }
