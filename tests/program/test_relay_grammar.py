"""The relay of the tests errs as it is told to: what all other tests stand on."""

from __future__ import annotations

import asyncio
import itertools
import smtplib
import socket
from collections.abc import Callable

import pytest

from tests.relays import Behaviour, Fault, RelayProcess, postfix
from tests.relays.fixtures import StartRelay

HALF = Fault(stage="rcpt", reply="450 4.2.0 Later", odds=0.5)


def dial(relay: RelayProcess) -> smtplib.SMTP:
    return smtplib.SMTP(relay.host, relay.port, timeout=20)


def mail(client: smtplib.SMTP, recipient: str = "ann@example.com") -> tuple[int, str]:
    """One mail; the reply that settled it."""
    code, words = client.mail("news@example.org")
    if code == 250:
        code, words = client.rcpt(recipient)
    if code == 250:
        code, words = client.data("Message-ID: <1@example.org>\r\n\r\nHello.\r\n")
    if code != 250 and code != 421:
        client.rset()
    return code, words.decode()


def fates(relay: RelayProcess, recipients: list[str], connections: int) -> dict[str, list[int]]:
    """The codes that each recipient met, one connection taking turns with the others."""
    found: dict[str, list[int]] = {recipient: [] for recipient in recipients}
    clients = [dial(relay) for _ in range(connections)]
    for recipient, client in zip(recipients * 3, itertools.cycle(clients), strict=False):
        found[recipient].append(mail(client, recipient)[0])
    for client in clients:
        client.close()
    return found


def test_by_odds_an_address_meets_the_same_fate_whatever_the_others_do(start_relay: StartRelay) -> None:
    recipients = [f"reader{n}@example.com" for n in range(40)]
    relay = start_relay(Behaviour(faults=(HALF,), seed=3, fsync=False))
    found = fates(relay, recipients, 1)
    relay.begin_anew(Behaviour(faults=(HALF,), seed=3, fsync=False))
    assert fates(relay, recipients[::-1], 3) == found
    relay.begin_anew(Behaviour(faults=(HALF,), seed=4, fsync=False))
    assert fates(relay, recipients, 1) != found
    deferred = sum(codes.count(450) for codes in found.values())
    assert 36 <= deferred <= 84  # of 120: within four and a half standard deviations
    assert any(len(set(codes)) == 2 for codes in found.values())  # an address is not refused for ever


def test_a_fault_by_odds_strikes_no_more_often_than_its_times(start_relay: StartRelay) -> None:
    fault = Fault(stage="rcpt", reply="450 4.2.0 Later", odds=0.5, times=4)
    relay = start_relay(Behaviour(faults=(fault,)))
    found = fates(relay, [f"reader{n}@example.com" for n in range(20)], 1)
    assert sum(codes.count(450) for codes in found.values()) == 4


@pytest.mark.parametrize(
    ("at", "over_rate"),
    [
        ("mail", postfix.TOO_MUCH_MAIL),
        ("rcpt", postfix.TOO_MANY_RECIPIENTS),
        ("dot", "454 Throttling failure: Maximum sending rate exceeded."),
        ("mail", "421 4.7.0 Too fast"),
        ("rcpt", "452 4.5.3 Too many"),
    ],
)
def test_what_exceeds_the_rate_is_refused_and_not_recorded(
    start_relay: StartRelay, at: str, over_rate: str
) -> None:
    rate = 5.0
    relay = start_relay(Behaviour(rate=rate, rate_at=at, over_rate=over_rate, fsync=False))  # type: ignore[arg-type]
    with dial(relay) as client:
        codes: list[int] = []
        while 250 not in codes or codes[-1] == 250:
            codes.append(mail(client)[0])
    assert codes[-1] == int(over_rate[:3])
    record = relay.record()
    assert len(record) == codes.count(250) >= rate
    assert len(record) <= rate + rate * (record[-1].time - record[0].time) + 1


def test_who_waits_gets_by_again(start_relay: StartRelay) -> None:
    relay = start_relay(Behaviour(rate=20.0, fsync=False))
    with dial(relay) as client:
        while mail(client)[0] == 250:
            pass
        so_far = len(relay.record())
        while mail(client)[0] != 250:
            pass
    assert len(relay.record()) == so_far + 1


def test_connections_have_a_rate_too(start_relay: StartRelay) -> None:
    relay = start_relay(Behaviour(rate=1.0, rate_at="greeting", over_rate=postfix.TOO_MANY_CONNECTIONS))
    codes: list[int] = []
    while 421 not in codes:
        client = smtplib.SMTP()
        codes.append(client.connect(relay.host, relay.port)[0])
        client.close()
    assert codes[0] == 220


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (postfix.SENDER_REFUSED, (554, "5.7.1 <news@example.org>: Sender address rejected: Access denied")),
        (postfix.RELAYING_DENIED, (554, "5.7.1 <ann@example.com>: Relay access denied")),
    ],
)
def test_sender_and_login_are_refused_at_rcpt_as_postfix_does(
    start_relay: StartRelay, fault: Fault, said: tuple[int, str]
) -> None:
    relay = start_relay(Behaviour(faults=(fault,)))
    with dial(relay) as client:
        assert client.mail("news@example.org")[0] == 250
        assert (client.rcpt("ann@example.com")[0], client.rcpt("ann@example.com")[1].decode()) == said


def test_a_mail_for_several_is_recorded_for_each(start_relay: StartRelay) -> None:
    relay = start_relay(Behaviour(faults=(Fault(stage="rcpt", reply="550 5.1.1 No", match="carl"),)))
    everybody = ["ann@example.com", "carl@example.com", "bob@example.com"]
    with dial(relay) as client:
        assert client.sendmail("news@example.org", everybody, "Message-ID: <1>\r\n\r\nHi.\r\n").keys() == {
            "carl@example.com"
        }
    assert [entry.recipient for entry in relay.record()] == ["ann@example.com", "bob@example.com"]
    assert len({entry.message_id for entry in relay.record()}) == 1


def test_what_a_reader_sees_is_told_apart(start_relay: StartRelay) -> None:
    relay = start_relay()
    with dial(relay) as client:
        for number, text in enumerate(("To: ann\r\n\r\nDear Ann", "To: bob\r\n\r\nDear Bob") * 2):
            client.mail("news@example.org")
            client.rcpt("ann@example.com")
            client.data(f"Message-ID: <{number}>\r\n{text}\r\n")
    first, other, again, _ = [entry.shown for entry in relay.record()]
    assert first == again != other


def misplaced(relay: RelayProcess) -> list[str]:
    return [event.line for event in relay.events() if event.event == "out_of_order"]


def test_a_command_out_of_order_is_told(start_relay: StartRelay) -> None:
    relay = start_relay()
    with dial(relay) as client:
        client.ehlo()
        for command in ("RCPT TO:<a@b>", "DATA", "MAIL FROM:<a@b>", "MAIL FROM:<c@b>", "DATA"):
            client.docmd(command)
    assert misplaced(relay) == ["RCPT TO:<a@b>", "DATA", "MAIL FROM:<c@b>", "DATA"]


@pytest.mark.parametrize("pipelining", [True, False])
def test_a_command_behind_a_refusal_is_out_of_order_unless_it_may_have_left_before(
    start_relay: StartRelay, pipelining: bool
) -> None:
    refused = Fault(stage="rcpt", reply="550 5.1.1 No such user")
    relay = start_relay(Behaviour(pipelining=pipelining, faults=(refused,)))
    with dial(relay) as client:
        client.ehlo()
        for command in ("MAIL FROM:<a@b>", "RCPT TO:<a@b>", "DATA", "RSET", "DATA"):
            client.docmd(command)
    assert misplaced(relay) == ["DATA"] * (1 if pipelining else 2)


def test_refusals_and_drops_are_told(start_relay: StartRelay) -> None:
    faults = (
        Fault(stage="mail", reply="451 4.3.0 Later", times=1),
        Fault(stage="rcpt", reply="550 5.1.1 No such user", match="carl"),
        Fault(stage="dot", reply="452 4.3.1 Full", match="dora"),
        Fault(stage="body", do="drop", match="emil"),
    )
    relay = start_relay(Behaviour(faults=faults))
    with dial(relay) as client:
        for name in ("carl", "carl", "dora"):
            mail(client, f"{name}@example.com")
        with pytest.raises(smtplib.SMTPServerDisconnected):
            mail(client, "emil@example.com")
    relay.wait(lambda event: event.event == "closed")
    told = [
        (one.event, one.address, one.line) for one in relay.events() if one.event in ("refused", "dropped")
    ]
    assert told == [
        ("refused", "", "451 4.3.0 Later"),
        ("refused", "carl@example.com", "550 5.1.1 No such user"),
        ("refused", "dora@example.com", "452 4.3.1 Full"),
        ("dropped", "emil@example.com", ""),
    ]


def test_a_reply_may_come_in_lines_octet_by_octet(start_relay: StartRelay) -> None:
    relay = start_relay(Behaviour(lines=3, byte_by_byte=True, between_octets=0.0001))
    with dial(relay) as client:
        assert mail(client) == (250, "\n".join(["2.0.0 Ok: queued"] * 3))


def test_a_reply_may_hold_any_octets(start_relay: StartRelay) -> None:
    octets = bytes(n for n in range(256) if n not in b"\r\n")
    reply = "250 " + octets.decode(errors="surrogateescape")
    relay = start_relay(Behaviour(faults=(Fault(stage="recorded", reply=reply),)))
    with dial(relay) as client:
        client.mail("news@example.org")
        client.rcpt("ann@example.com")
        client.docmd("DATA")
        client.send(".\r\n")
        assert client.getreply() == (250, octets.strip(b" \t\r\n"))


def test_a_relay_that_babbles_goes_on_until_the_other_side_leaves(start_relay: StartRelay) -> None:
    relay = start_relay(Behaviour(faults=(Fault(stage="ehlo", do="babble", reply="250-more\r\n"),)))
    with socket.create_connection((relay.host, relay.port), timeout=20) as line:
        line.sendall(b"EHLO there\r\n")
        heard = 0
        while heard < 5_000_000:
            heard += len(line.recv(1 << 16))
    relay.wait(lambda event: event.event == "closed")


def test_a_slow_greeting_comes_in_the_end(start_relay: StartRelay) -> None:
    relay = start_relay(Behaviour(faults=(Fault(stage="greeting", do="delay", seconds=0.3),)))
    with dial(relay) as client:
        assert mail(client)[0] == 250
    connected, greeted = (event.time for event in relay.events() if event.event in {"connected", "mail"})
    assert greeted - connected >= 0.3


def ended_by_itself(relay: RelayProcess) -> None:
    relay.kill()
    relay.restart()


@pytest.mark.parametrize("again", [RelayProcess.restart, ended_by_itself])
def test_a_relay_started_again_has_its_port_its_record_and_its_behaviour(
    start_relay: StartRelay, again: Callable[[RelayProcess], None]
) -> None:
    relay = start_relay(Behaviour(faults=(Fault(stage="rcpt", reply="550 5.1.1 No", match="^bob@"),)))
    with dial(relay) as client:
        assert mail(client)[0] == 250
        port = relay.port
        again(relay)
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.noop()
    assert relay.port == port
    with dial(relay) as client:
        assert mail(client, "bob@example.com")[0] == 550
        assert mail(client, "cid@example.com")[0] == 250
    assert [line.recipient for line in relay.record()] == ["ann@example.com", "cid@example.com"]
    assert [event.connection for event in relay.events() if event.event == "connected"] == [1, 2]


def test_a_relay_that_is_away_refuses_whoever_calls(start_relay: StartRelay) -> None:
    relay = start_relay()
    relay.kill()
    with pytest.raises(ConnectionRefusedError):
        dial(relay)


async def said_yes_to(relay: RelayProcess, recipients: itertools.count[int]) -> list[str]:
    """Mail one after another until the relay dies; whom it has said yes to."""
    said: list[str] = []
    reader, writer = await asyncio.open_connection(relay.host, relay.port)
    try:
        await reader.readline()
        writer.write(b"HELO there\r\n")
        await reader.readline()
        while True:
            recipient = f"reader{next(recipients)}@example.com"
            writer.write(b"MAIL FROM:<a@b.c>\r\nRCPT TO:<%s>\r\nDATA\r\n" % recipient.encode())
            for _ in range(3):
                await reader.readuntil(b"\n")
            writer.write(b"\r\nHello.\r\n.\r\n")
            if (await reader.readuntil(b"\n")).startswith(b"250"):
                said.append(recipient)
    except (OSError, asyncio.IncompleteReadError):
        return said
    finally:
        writer.close()


async def test_a_relay_killed_at_any_moment_has_on_record_whom_it_said_yes_to(
    start_relay: StartRelay,
) -> None:
    relay = start_relay()
    recipients = itertools.count()
    connections = 8
    for round_ in range(5):
        talks = [asyncio.create_task(said_yes_to(relay, recipients)) for _ in range(connections)]
        await relay.wait_for(lambda event: event.event == "recorded", times=30 * (round_ + 1))
        relay.kill()
        said = {recipient for talk in talks for recipient in await talk}
        record = {line.recipient for line in relay.record()}
        assert said
        assert said <= record
        relay.restart()


def test_the_record_is_written_before_the_answer(start_relay: StartRelay) -> None:
    relay = start_relay(Behaviour(faults=(Fault(stage="recorded", do="hold"),)))
    with dial(relay) as client:
        client.mail("news@example.org")
        client.rcpt("ann@example.com")
        client.docmd("DATA")
        client.send("Hello.\r\n.\r\n")
        relay.wait(lambda event: event.event == "recorded")
        relay.kill()
        with pytest.raises(smtplib.SMTPServerDisconnected):
            client.getreply()
    assert [line.recipient for line in relay.record()] == ["ann@example.com"]
