"""The value of a From or Reply-To header: display names and addresses."""

from __future__ import annotations

import re
from email.headerregistry import Address, AddressHeader
from email.policy import default
from typing import cast

from batchmail.email_syntax import EmailNotValidError, checked_syntax
from batchmail.message.headers import check_one_line, encoded_words, one_line

_LONGEST = 5000
_ATOMS = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~ -]*")


class Mailbox:
    """One display name (may be empty) and one address, which is ASCII: international domains are encoded."""

    def __init__(self, parsed: Address) -> None:
        self.name = one_line(parsed.display_name)
        # globally_deliverable=False: a domain of one label, such as localhost, is the relay's to know too.
        checked = checked_syntax(parsed.addr_spec, globally_deliverable=False)
        if checked.ascii_email is None:
            raise ValueError("the part before the @ must be plain ASCII")
        self.address = checked.ascii_email

    def __str__(self) -> str:
        """As it stands in a header (RFC 5322 3.4, RFC 2047): ASCII, folded where it is long."""
        if not self.name:
            return self.address
        if not self.name.isascii() or "=?" in self.name or len(self.name) > 60:
            return f"{encoded_words(self.name)}\r\n <{self.address}>"
        if _ATOMS.fullmatch(self.name):
            return f"{self.name} <{self.address}>"
        quoted = self.name.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{quoted}" <{self.address}>'


def read_mailboxes(text: str) -> list[Mailbox]:
    """The mailboxes of a header's value as a person writes it. Raises ValueError with half a sentence."""
    if len(text) > _LONGEST:
        raise ValueError(f"it is longer than {_LONGEST:,} characters")
    check_one_line(text)
    try:
        header = default.header_factory("From", text)
        found = cast(AddressHeader, header).addresses
    except Exception:  # the parser of the standard library trips over some malformed values
        found = ()
    if not found or not all(each.username and each.domain for each in found):
        if "," in text and '"' not in text:
            raise ValueError("it is no address; a name with a comma stands in double quotes")
        raise ValueError("it is no address; write it as in 'News <news@example.org>'")
    try:
        return [Mailbox(each) for each in found]
    except EmailNotValidError as error:
        raise ValueError(str(error).rstrip(".")) from None


def read_mailbox(text: str) -> Mailbox:
    """The one mailbox of a From header. Raises ValueError with half a sentence."""
    found = read_mailboxes(text)
    if len(found) != 1:
        raise ValueError(f"it holds {len(found)} addresses, and a mail has one sender")
    return found[0]
