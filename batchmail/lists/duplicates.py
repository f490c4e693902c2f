"""Who was in the list before: a set of addresses in about 25 bytes each.

A Python set of a million addresses takes well over 100 MB. Here each address is its 128-bit digest, of which
the first two bytes choose a bucket and the other 14 stand in it: two different addresses meet with a chance
of 10⁻²⁶ in a list of a million, so nobody is ever taken for somebody else.
"""

from __future__ import annotations

from hashlib import blake2b

_BUCKETS = 1 << 16
_REST = 14


class SeenAddresses:
    """Tells a new address from one that was there before, whatever the case of its letters."""

    def __init__(self) -> None:
        self._buckets = [b""] * _BUCKETS

    def add(self, address: str) -> bool:
        """Remember `address`; says whether it is new.

        Compared by `lower`, not `casefold`: that would make one person of strasse@ and straße@.
        """
        digest = blake2b(address.lower().encode(), digest_size=2 + _REST).digest()
        number = int.from_bytes(digest[:2])
        bucket, rest = self._buckets[number], digest[2:]
        at = bucket.find(rest)
        while at > 0 and at % _REST:
            at = bucket.find(rest, at + 1)
        if at >= 0:
            return False
        self._buckets[number] = bucket + rest
        return True
