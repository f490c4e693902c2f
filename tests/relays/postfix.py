"""What Postfix says (src/smtpd/smtpd.c and smtpd_check.c): faults to put into a Behaviour.

Refusals of sender and login come at RCPT, each with the recipient's turn (smtpd_delay_reject).
"""

from __future__ import annotations

from tests.relays.behaviour import Fault

SENDER_REFUSED = Fault(stage="rcpt", reply="554 5.7.1 <{sender}>: Sender address rejected: Access denied")
SENDER_NOT_OWNED = Fault(
    stage="rcpt", reply="553 5.7.1 <{sender}>: Sender address rejected: not owned by user news"
)
SENDERS_DOMAIN_UNKNOWN = Fault(
    stage="rcpt", reply="450 4.1.8 <{sender}>: Sender address rejected: Domain not found"
)
RELAYING_DENIED = Fault(stage="rcpt", reply="554 5.7.1 <{address}>: Relay access denied")
CLIENT_REFUSED = Fault(
    stage="rcpt", reply="554 5.7.1 <localhost[127.0.0.1]>: Client host rejected: Access denied"
)
TOO_MUCH_MAIL = "450 4.7.1 Error: too much mail from 127.0.0.1"
"""At MAIL, by smtpd_client_message_rate_limit: for Behaviour.over_rate."""
TOO_MANY_RECIPIENTS = "450 4.7.1 Error: too many recipients from 127.0.0.1"
"""At RCPT, by smtpd_client_recipient_rate_limit."""
TOO_MANY_CONNECTIONS = "421 4.7.0 relay.example Error: too many connections from 127.0.0.1"
"""For the greeting, by smtpd_client_connection_count_limit or smtpd_client_connection_rate_limit."""
GREYLISTED = "450 4.2.0 <{address}>: Recipient address rejected: Greylisted"
"""As postgrey has Postfix say it: for a Fault at `rcpt`."""
