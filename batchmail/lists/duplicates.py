"""Who was in the list before: a set of addresses in about 25 bytes each.

A Python set of a million addresses takes well over 100 MB. Here two bytes of an address's digest choose a
bucket, and 16 more stand in it. That two different addresses of a million meet has a chance of about 10⁻³⁰:
nobody is ever taken for somebody else.
"""

from __future__ import annotations

from hashlib import blake2b

_BUCKETS = 1 << 16
_REST = 16


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
        # Found across two neighbours is as unlikely as a collision, so where in the bucket does not matter.
        if rest in bucket:
            return False
        self._buckets[number] = bucket + rest
        return True
