"""starter.py --dev: everything on one machine, and whatever happens to it, the same command goes on."""

from __future__ import annotations

import signal
import socket
from collections import Counter
from collections.abc import Iterator
from email import message_from_bytes
from pathlib import Path

import pytest

from batchmail.engine.dev_server import DevServer
from batchmail.engine.server_process import ServerFiles, is_running
from batchmail.settings import Settings
from tests.program.starter_process import Desk
from tests.relays import Behaviour, Fault
from tests.relays.fixtures import StartRelay

FIELDS = [
    *("batch_id", "status", "total", "sent", "rejected", "expired", "unknown", "suppressed"),
    *("duplicates_in_list", "invalid_rows", "in_doubt_resent", "seconds", "report", "admin_notified"),
]
SLOW = Behaviour(
    faults=(
        Fault(stage="data", do="delay", seconds=0.05),
        Fault(stage="rcpt", do="hold", match="reader-(1[0-9][0-9]|200)@"),
    )
)
"""So that there is time to interrupt, however late that comes."""

CONNECTIONS = 5


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    """A desk whose server, if a killed starter left it running, is stopped at the end."""
    found = Desk(tmp_path, {})
    yield found
    found.stop()
    if is_running(ServerFiles(found.state)):
        with DevServer(found.state, print, cli=Settings().batch_temporal_cli):
            pass


def test_ten_recipients_get_their_mail_and_the_same_command_mails_nobody_again(desk: Desk) -> None:
    desk.write_list(10)
    first = desk.call("--dev", "--json", code=0)
    assert list(first.object) == FIELDS
    batch_id = first.object["batch_id"]
    assert (first.object["status"], first.object["total"], first.object["sent"]) == ("completed", 10, 10)
    assert f"/namespaces/default/workflows/{batch_id}" in first.err
    assert str(desk.state / "mailbox") in first.err
    assert "nobody is told" in first.err
    assert not is_running(ServerFiles(desk.state))
    mailed = [message_from_bytes(path.read_bytes()) for path in desk.mails()]
    assert len({mail["To"] for mail in mailed}) == len(mailed) == 10

    second = desk.call("--dev", "--json", code=0)
    assert second.object == first.object
    assert len(desk.mails()) == 10

    again = desk.call("--dev", "--json", "--again", code=0)
    assert again.object["batch_id"] != batch_id
    assert again.object["sent"] == 10
    ids = [message_from_bytes(path.read_bytes())["Message-ID"] for path in desk.mails()]
    assert len(set(ids)) == len(ids) == 20


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_hands_back_and_the_same_command_goes_on(
    desk: Desk, start_relay: StartRelay, number: signal.Signals
) -> None:
    relay = start_relay(SLOW)
    desk.relay(relay)
    desk.write_list(200)
    command = ("--dev", "--json", "--connections", str(CONNECTIONS))
    running = desk.start(*command)
    relay.wait(lambda event: event.event == "recorded", times=20)
    running.signal(number)
    running.wait_for("Ctrl-C again")
    relay.release()
    stopped = running.ended(130)
    assert stopped.out == ""
    assert "The same command goes on" in stopped.err
    assert not is_running(ServerFiles(desk.state))
    assert 20 <= len(relay.record()) < 200
    result = desk.call(*command, code=0).object
    assert (result["sent"], result["in_doubt_resent"]) == (200, 0)
    assert Counter(one.recipient for one in relay.record()) == {
        f"reader-{number}@example.com": 1 for number in range(1, 201)
    }


def test_a_second_signal_ends_it_at_once(desk: Desk, start_relay: StartRelay) -> None:
    relay = start_relay(Behaviour(faults=(Fault(stage="dot", do="hold"),)))
    desk.relay(relay)
    desk.write_list(20)
    running = desk.start("--dev", BATCH_GRACE="100s")
    relay.wait(lambda event: event.event == "body")
    running.signal(signal.SIGINT)
    running.wait_for("Ctrl-C again")
    running.signal(signal.SIGINT)
    running.ended(130)


def test_killed_twice_the_same_command_finishes(desk: Desk, start_relay: StartRelay) -> None:
    relay = start_relay()
    desk.relay(relay)
    desk.write_list(200)
    command = ("--dev", "--json", "--connections", str(CONNECTIONS), "--slice-size", "200")
    for moment in ("body_sent:20", "intent_acknowledged:40"):
        desk.call(*command, code=-signal.SIGKILL, BATCH_ARM=f"{moment}=kill", BATCH_HEARTBEAT_TIMEOUT="5s")
    result = desk.call(*command, code=0).object
    accepted = Counter(one.recipient for one in relay.record())
    assert len(accepted) == result["sent"] == 200
    repeats = sum(times - 1 for times in accepted.values())
    assert repeats <= result["in_doubt_resent"] <= 2 * CONNECTIONS
    again = desk.call(*command, code=0).object
    assert again == result
    assert Counter(one.recipient for one in relay.record()) == accepted


def test_a_relay_out_of_reach_is_found_before_the_start(desk: Desk) -> None:
    desk.write_list(2)
    with socket.create_server(("127.0.0.1", 0)) as reserved:
        port = str(reserved.getsockname()[1])
    ended = desk.call("--dev", "--json", code=3, SMTP_HOST="127.0.0.1", SMTP_PORT=port)
    assert ended.out == ""
    assert f"127.0.0.1:{port}" in ended.err
    assert not list(desk.state.glob("store/batches/*"))


def test_a_relay_that_refuses_the_connection_is_found_before_the_start(
    desk: Desk, start_relay: StartRelay
) -> None:
    relay = start_relay(Behaviour(faults=(Fault(stage="greeting", reply="554 5.7.1 Not you"),)))
    desk.relay(relay)
    desk.write_list(2)
    ended = desk.call("--dev", code=3)
    assert "554" in ended.err
    assert not list(desk.state.glob("store/batches/*"))
    relay.behave(Behaviour())
    desk.call("--dev", code=0)


def test_somebody_refused_is_exit_1_now_and_later(desk: Desk, start_relay: StartRelay) -> None:
    refusal = Fault(stage="rcpt", match="reader-2@", reply="550 5.1.1 No such user")
    desk.relay(start_relay(Behaviour(faults=(refusal,))))
    desk.write_list(3)
    first = desk.call("--dev", "--json", code=1)
    assert (first.object["sent"], first.object["rejected"]) == (2, 1)
    assert desk.call("--dev", "--json", code=1).object == first.object


def test_a_mended_list_does_not_mail_the_others_twice_unasked(desk: Desk) -> None:
    desk.write_list(5)
    desk.call("--dev", code=0)
    desk.write_list(5, first_name="Ida")
    desk.list.write_text(desk.list.read_text().replace("reader-2@", "reader-two@"))
    refused = desk.call("--dev", "--json", code=2)
    assert "4 of these 5 recipients" in refused.err
    assert "--again" in refused.err
    assert refused.out == ""
    asked = desk.start("--dev", terminal=True)
    asked.wait_for("Mail them again? [y/N] ")
    asked.type("n\n")
    assert "nothing was mailed" in asked.ended(2).err
    assert len(desk.mails()) == 5
    assert desk.call("--dev", "--json", "--again", code=0).object["sent"] == 5
    assert len(desk.mails()) == 10


def test_at_a_terminal_a_real_relay_is_asked_about(desk: Desk, start_relay: StartRelay) -> None:
    relay = start_relay()
    desk.relay(relay)
    desk.write_list(3)
    asked = desk.start("--dev", terminal=True)
    asked.wait_for(f"Mail 3 recipients from Club <club@example.org> through 127.0.0.1:{relay.port}")
    asked.wait_for("[y/N] ")
    asked.type("\n")
    assert "nothing was mailed" in asked.ended(2).err
    stopped = desk.start("--dev", terminal=True)
    stopped.wait_for("[y/N] ")
    stopped.signal(signal.SIGINT)
    assert "nothing was mailed" in stopped.ended(130).err
    assert relay.record() == []
    agreed = desk.start("--dev", terminal=True)
    agreed.wait_for("[y/N] ")
    agreed.type("y\n")
    assert "All 3 recipients were mailed" in agreed.ended(0).out
    assert len(relay.record()) == 3
    assert "[y/N]" not in desk.call("--dev", "--again", "--yes", terminal=True, code=0).err


def test_the_local_mailbox_needs_no_question(desk: Desk) -> None:
    desk.write_list(1)
    ended = desk.call("--dev", terminal=True, code=0)
    assert "[y/N]" not in ended.err
    assert len(desk.mails()) == 1


def test_the_admin_is_told_and_the_summary_says_so(desk: Desk) -> None:
    desk.write_list(2)
    result = desk.call("--dev", "--json", "--admin", "boss@example.com", code=0).object
    assert result["admin_notified"] is True
    assert len(desk.mails()) == 3
    assert desk.call("--dev", "--json", "--admin", "boss@example.com", code=0).object == result
    assert len(desk.mails()) == 3
