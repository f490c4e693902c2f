"""email-validator, told in one place how this program uses it."""

from __future__ import annotations

from functools import partial

import email_validator
from email_validator import EmailNotValidError

__all__ = ["EmailNotValidError", "checked_syntax"]

# The library's documented way to accept special-use domains: whether a name can be reached is the relay's to
# know, and many a relay serves .local or .test.
email_validator.SPECIAL_USE_DOMAIN_NAMES.clear()

checked_syntax = partial(email_validator.validate_email, check_deliverability=False)
"""The parts of an address, without asking the network. Raises EmailNotValidError."""
