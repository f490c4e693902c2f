"""The one tree of errors.

Every message is one sentence that names the thing, says what was found, and what to do next. No message
carries a recipient's address or a secret: failure texts enter Temporal's history and the logs.
"""

from __future__ import annotations


class BatchmailError(Exception):
    """Something went wrong that a person can mend; `exit_code` is what the command line ends with."""

    exit_code = 2


class InputError(BatchmailError, ValueError):
    """What the user gave (list, message, option, setting) cannot be used; nothing was sent."""


class SettingsError(InputError):
    """A setting has a value that is not allowed."""


class ListError(InputError):
    """The list cannot be used as a whole."""


class MessageError(InputError):
    """The message cannot be used: names file, line and what is wrong."""


class FillError(InputError):
    """The message could not be filled for one recipient; names neither the address nor any field's value."""


class EncryptionError(BatchmailError):
    """What Temporal keeps cannot be read with the keys that are here."""


class RefusedError(BatchmailError):
    """The command is understood and refused, since it would do what nobody can have meant."""


class OutOfReachError(BatchmailError, ConnectionError):
    """Something outside (Temporal, the store, the relay) cannot be reached now."""

    exit_code = 3


class BatchFailedError(BatchmailError):
    """The batch's run was terminated, timed out or failed: it has no result yet, and can be started again."""

    exit_code = 1


class EngineError(OutOfReachError):
    """Temporal cannot be reached, or its development server cannot be had."""


class StoreError(OutOfReachError):
    """The store cannot be reached, read or written.

    `in_short` names no object, so that everyone who waits for the same store says the same.
    """

    def __init__(self, message: str = "", in_short: str = "") -> None:
        super().__init__(message)
        self.in_short = in_short or message


class MissingObjectError(StoreError, KeyError):
    """The store has no object of this name."""

    def __str__(self) -> str:
        return str(self.args[0])


class RelayFaultError(OutOfReachError):
    """The relay is at fault (out of reach, or it refuses sender or login); no recipient is touched."""
