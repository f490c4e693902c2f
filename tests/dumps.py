"""Search a database dump for words, however they are wrapped.

What Temporal keeps lies in the dump as hexadecimal text; inside are protobuf messages, in these payloads, in
these JSON, in that our ledgers (zlib in base64). So every value is read in every way in which it can be
read, and what comes out again, to a depth. A reading that makes no sense costs time alone.
"""

from __future__ import annotations

import base64
import re
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from urllib.parse import unquote_to_bytes

DEPTH = 5
"""Wrappings around a word: bytea, JSON, base64, zlib are four."""

_HEX = re.compile(rb"\\x((?:[0-9a-fA-F]{2})+)")
_BASE64 = re.compile(rb"[A-Za-z0-9+/_-]{11,}")
_ZLIB = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08")
_PERCENT = re.compile(rb"%[0-9a-fA-F]{2}")
_QUOTED_PRINTABLE = re.compile(rb"=([0-9A-F]{2})|=\r?\n")
_JSON_ESCAPE = re.compile(rb'\\(?:u([0-9a-fA-F]{4})|(["\\/]))')
_TO_STANDARD = bytes.maketrans(b"-_", b"+/")


def readings(dump: bytes) -> Iterator[bytes]:
    """The dump, and all that can be decoded from it; each once."""
    seen: set[int] = set()
    layer: Iterable[bytes] = [dump]
    for _ in range(DEPTH + 1):
        fresh = []
        for value in layer:
            if (key := hash(value)) not in seen:
                seen.add(key)
                fresh.append(value)
                yield value
        layer = chain.from_iterable(map(_decoded, fresh))


def words_in(dump: bytes, words: Iterable[str]) -> set[str]:
    """Those of `words` that the dump says in any of its readings, in whatever case."""
    wanted = {word: _forms(word) for word in words}
    found: set[str] = set()
    for value in readings(dump):
        text = value.decode("utf-8", "replace").casefold()
        found |= {word for word, forms in wanted.items() if any(form in text for form in forms)}
    return found


def _forms(word: str) -> set[str]:
    """The word, and its form in the domain name system where that is another one."""
    forms = {word.casefold()}
    local, at, domain = word.rpartition("@")
    with suppress(UnicodeError):
        forms.add(f"{local}{at}{domain.encode('idna').decode()}".casefold())
    return forms


def _decoded(value: bytes) -> Iterator[bytes]:
    """What `value` says when parts of it are taken for an encoding."""
    for found in _HEX.finditer(value):
        yield bytes.fromhex(found[1].decode())
    for found in _ZLIB.finditer(value):
        with suppress(zlib.error):
            yield zlib.decompressobj(zlib.MAX_WBITS | 32).decompress(value[found.start() :])
    for found in _BASE64.finditer(value):
        run = found[0].translate(_TO_STANDARD)
        for start in range(4):  # what stands before it may look like a part of it
            whole = (len(run) - start) // 4 * 4
            rest = run[start + whole :]
            ended = rest + b"=" * (4 - len(rest)) if len(rest) > 1 else b""
            yield base64.b64decode(run[start : start + whole] + ended)
    if _PERCENT.search(value):
        yield unquote_to_bytes(value)
    if _QUOTED_PRINTABLE.search(value):
        yield _QUOTED_PRINTABLE.sub(lambda found: bytes.fromhex((found[1] or b"").decode()), value)
    if _JSON_ESCAPE.search(value):
        yield _JSON_ESCAPE.sub(
            lambda found: found[2] or chr(int(found[1], 16)).encode("utf-8", "surrogatepass"), value
        )
