"""Which text is an address that can be mailed, and the form in which it goes to the relay.

email-validator decides; the plain case, which is nearly every address of nearly every list, is decided by one
regular expression that accepts nothing the library would not accept with the same result (a property test
holds the two together). RFC 5321 section 4.1.2 (syntax) and 4.5.3.1 (lengths), RFC 6531 (international).
"""

from __future__ import annotations

import re
import unicodedata
from typing import NamedTuple

from batchmail.email_syntax import EmailNotValidError, checked_syntax

_MAX_OCTETS = 254
_MAX_LOCAL_OCTETS = 64
_MAX_LABEL = 63
_HOPELESS_LENGTH = 1000

_SPECIAL_USE = frozenset({"arpa", "invalid", "local", "localhost", "onion", "test"})

_PLAIN = re.compile(
    r"([A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]++)*+)"
    r"@((?:[A-Za-z0-9]++(?:-[A-Za-z0-9]++)*+\.)+[A-Za-z]+)"
)


class Unusable(NamedTuple):
    """Why a text is no address; the sentence's second half, never with the text in it."""

    reason: str


NO_ADDRESS = Unusable("has no address")


def usable_address(text: str) -> str | Unusable:
    """`text` as it goes to the relay, or why it cannot.

    Surrounding white space goes, the domain is lower-cased and encoded to ASCII (IDNA 2008), the local part
    keeps its case; one that is not ASCII stays (in NFC) and needs a relay with SMTPUTF8. What is returned
    holds no control character, no space and no angle bracket, so that it cannot end an SMTP command.
    Comments, quoted local parts and address literals are refused.
    """
    text = text.strip()
    plain = _PLAIN.fullmatch(text)
    if plain is not None:
        local, domain = plain.groups()
        # A whole domain this short has no label that is too long.
        if len(local) <= _MAX_LOCAL_OCTETS and len(domain) <= _MAX_LABEL:
            return f"{local}@{domain.lower()}"
    return _obvious_fault(text) or _by_library(text)


def _by_library(text: str) -> str | Unusable:
    given_local, _, given_domain = text.partition("@")
    try:
        found = checked_syntax(
            text,
            allow_smtputf8=True,
            allow_quoted_local=False,
            allow_domain_literal=False,
            allow_display_name=False,
            # A name of one label is a typing error ("ann@gmail"), unless it is reserved for local use.
            globally_deliverable=given_domain.lower() not in _SPECIAL_USE,
        )
    except EmailNotValidError as error:
        return Unusable(_without_particulars(str(error)))
    # The library lower-cases a few local parts (RFC 2142, such as INFO); here every one keeps its case.
    local = given_local if given_local.isascii() else found.local_part
    if len(local.encode()) > _MAX_LOCAL_OCTETS:
        return Unusable(f"the part before the @ is longer than {_MAX_LOCAL_OCTETS} octets")
    return f"{local}@{found.ascii_domain}"


def _obvious_fault(text: str) -> Unusable | None:
    """The faults a person meets most, in plainer words than the library's."""
    if not text:
        return NO_ADDRESS
    if len(text) > _HOPELESS_LENGTH:
        return Unusable(f"the address is longer than {_MAX_OCTETS} octets")
    if any(unicodedata.category(character) == "Cc" for character in text):
        return Unusable("the address has a control character or a line break in it")
    if "<" in text or ">" in text:
        return Unusable("the address has angle brackets: give the bare address")
    if "@" not in text and "＠" not in text:
        return Unusable("the address has no @")
    if text.count("@") > 1:
        return Unusable("the address has more than one @")
    if any(character.isspace() for character in text):
        return Unusable("the address has a space in it")
    return None


def _without_particulars(sentence: str) -> str:
    """The library's sentence without the characters or the label it complains of: reasons go into logs."""
    general = re.split(r" \(|: ", sentence, maxsplit=1)[0].rstrip(".")
    return general[0].lower() + general[1:]
