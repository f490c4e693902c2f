"""Say in our own words why a recipient has its outcome: from stage, code and enhanced code alone.

The relay's words are not used: they often carry the address. Texts follow RFC 3463 (enhanced status codes,
with the registry of RFC 5248) and, where a relay gives none, RFC 5321, section 4.2.3. About a login the
code says more than the enhanced code beside it (RFC 4954, section 6).
"""

from __future__ import annotations

from batchmail.batch.outcomes import Cause, Stage
from batchmail.relay.stages import STAGES

_DETAILS = {
    "1.0": "something is wrong with the address",
    "1.1": "the mailbox does not exist",
    "1.2": "the domain of the address does not exist or takes no mail",
    "1.3": "the address is not well formed",
    "1.4": "the address stands for more than one mailbox",
    "1.6": "the mailbox has moved, and left no new address",
    "1.7": "the sender's address is not well formed or is refused",
    "1.8": "the domain of the sender's address is refused",
    "1.9": "the message could not be passed on to a system that answers as it should",
    "1.10": "the domain of the address says that it takes no mail",
    "2.0": "something is wrong with the mailbox",
    "2.1": "the mailbox is switched off and takes no mail",
    "2.2": "the mailbox is full",
    "2.3": "the message is larger than this mailbox takes",
    "2.4": "the mailing list behind the address could not be resolved",
    "3.0": "something is wrong with the relay or the mail system behind it",
    "3.1": "the mail system is out of space",
    "3.2": "the mail system takes no messages at present",
    "3.3": "the mail system lacks something that the message needs",
    "3.4": "the message is too large",
    "3.5": "the mail system is not set up rightly",
    "4.0": "something is wrong with the network or the way to the mailbox",
    "4.1": "the mailbox's mail system does not answer",
    "4.2": "the connection to the mailbox's mail system failed",
    "4.3": "the relay could not look up the way (DNS)",
    "4.4": "the relay knows no way to the mailbox",
    "4.5": "the mail system is overloaded, or the sender's quota is used up",
    "4.6": "the way to the mailbox goes in a circle",
    "4.7": "the message was too long under way",
    "5.0": "relay and sender misunderstood each other",
    "5.1": "the relay did not accept the command at this point",
    "5.2": "the relay did not understand the command",
    "5.3": "the message has too many recipients",
    "5.4": "the relay did not accept a parameter of the command",
    "6.0": "something is wrong with the content of the message",
    "6.1": "the kind of content is not supported",
    "6.2": "the content would have to be converted, which is not allowed",
    "6.3": "the content would have to be converted, which cannot be done",
    "6.7": "the address needs UTF-8 (SMTPUTF8), which the relay does not offer",
    "7.0": "a rule of the mail system (security, spam or rate) forbids it",
    "7.1": "a rule of the mail system forbids this delivery",
    "7.2": "the sender may not write to this mailing list",
    "7.7": "the message is damaged",
    "7.8": "the login is wrong",
    "7.9": "this kind of login is too weak",
    "7.11": "this login needs an encrypted connection",
    "7.13": "the account is switched off",
    "7.20": "the message has no valid DKIM signature",
    "7.23": "the sender's SPF record does not allow this relay",
    "7.25": "the relay's address has no valid reverse name",
    "7.26": "the sender's domain fails its checks (SPF, DKIM, DMARC)",
    "7.27": "the sender's domain says that it sends and takes no mail",
    "7.28": "too much mail at once: a rate limit",
}

_SUBJECTS = {
    "1": "something is wrong with an address",
    "2": "something is wrong with the mailbox",
    "3": "something is wrong with the mail system",
    "4": "something is wrong with the network or the way to the mailbox",
    "5": "relay and sender misunderstood each other",
    "6": "something is wrong with the content of the message",
    "7": "a rule of the mail system (security, spam or rate) forbids it",
}

_CODES = {
    421: "the relay closed the connection",
    450: "the mailbox is not available at present",
    451: "the mail system had a fault of its own",
    452: "the mail system is out of space",
    455: "the relay does not accept a parameter at present",
    550: "the mailbox is not available",
    551: "the mailbox is not on this system",
    552: "the mailbox is full or the message is too large",
    553: "the address is not allowed",
    554: "the delivery was refused",
    555: "the relay does not accept a parameter",
    556: "the domain takes no mail",
}

_LOGIN_CODES = {
    530: "the relay demands a login or encryption; set SMTP_USERNAME and SMTP_PASSWORD, or SMTP_TLS",
    534: "this kind of login is too weak",
    535: "the login is wrong; check SMTP_USERNAME and SMTP_PASSWORD",
    538: "this login needs an encrypted connection; set SMTP_TLS to starttls or implicit",
}
"""530 also stands for: STARTTLS is needed (RFC 3207, section 4)."""

_LOGIN_NOT_CHECKED = 454
"""Of the login while logging in alone: elsewhere it is about TLS, or a rate."""


def reason(cause: Cause) -> str:
    """One phrase for the report, such as `the mailbox does not exist (550 5.1.1 while sending RCPT TO)`.

    "" for no cause at all. Never the relay's words, never an address.
    """
    stage, code, enhanced = cause
    if stage is Stage.NONE:
        return ""
    if stage is Stage.FILL:
        return "the message could not be filled with this recipient's fields"
    phrase = STAGES[stage].phrase
    if code == 0:
        return f"the connection was lost, or no answer came in time, {phrase}"
    if code < 400:
        meaning = "accepted by the relay" if stage is Stage.DOT else "the relay gave an answer out of place"
    else:
        meaning = _meaning(stage, code, enhanced)
    return f"{meaning} ({code} {enhanced} {phrase})" if enhanced else f"{meaning} ({code} {phrase})"


def _meaning(stage: Stage, code: int, enhanced: str) -> str:
    if code in _LOGIN_CODES:
        return _LOGIN_CODES[code]
    if stage is Stage.AUTH and code == _LOGIN_NOT_CHECKED:
        return "the relay cannot check the login at present"
    detail = enhanced[2:]
    found = _DETAILS.get(detail) or _SUBJECTS.get(detail.partition(".")[0]) or _CODES.get(code)
    return found or ("the relay refused it for now" if code < 500 else "the relay refused it")
