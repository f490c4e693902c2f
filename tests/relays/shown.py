"""What of a mail its reader sees, as a digest: cheap to record, and enough to tell one's mail from another's.

Standard library only, as the relay's process is.
"""

from __future__ import annotations

from hashlib import blake2b

_SHOWN = (b"to:", b"subject:")


def digest_of_shown(mail: bytes) -> str:
    """Of To, Subject and the text after the headers."""
    head, _, text = mail.partition(b"\r\n\r\n")
    shown = sorted(line for line in head.split(b"\r\n") if line.lower().startswith(_SHOWN))
    return blake2b(b"\r\n".join([*shown, b"", text]), digest_size=8).hexdigest()
