"""The session against real relays that misbehave, on asyncio and on uvloop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from math import inf
from pathlib import Path
from typing import Literal

import pytest

from batchmail.batch.outcomes import Cause, Follows, Stage
from batchmail.relay.session import PIECE, Session
from batchmail.relay.stages import STAGES
from tests.relays import Behaviour, Fault, RelayProcess
from tests.relays.fixtures import ON_BOTH_LOOPS, StartRelay
from tests.relays.talk import Talk, envelope, session_with

pytestmark = ON_BOTH_LOOPS  # they tell of a lost connection differently


@pytest.fixture(scope="module")
def relay_process(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RelayProcess]:
    """One for all tests here: starting a process takes longer than any of them."""
    relay = RelayProcess(tmp_path_factory.mktemp("relay"))
    yield relay
    relay.stop()


@pytest.fixture
def start_relay(relay_process: RelayProcess) -> StartRelay:
    """As the fixture of this name, on the one process."""

    def start(behaviour: Behaviour = Behaviour(), /) -> RelayProcess:  # noqa: B008 - frozen
        relay_process.begin_anew(behaviour)
        return relay_process

    return start


@pytest.fixture(autouse=True)
def _no_error_in_a_callback(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """What is raised to the event loop fails the test: nobody else would see it."""
    yield
    assert not [record.getMessage() for record in caplog.get_records("call") if record.name == "asyncio"]


STAYS, ENDS = True, False
ACCEPTED, NOT_ACCEPTED = True, False

TABLE = [
    (Fault(stage="mail", reply="550 5.7.1 Not you"), Stage.MAIL, Follows.RELAY_FAULT, STAYS, NOT_ACCEPTED),
    (Fault(stage="mail", reply="451 4.3.0 Not now"), Stage.MAIL, Follows.RELAY_FAULT, STAYS, NOT_ACCEPTED),
    (Fault(stage="mail", reply="503 5.5.1 EHLO first"), Stage.MAIL, Follows.RELAY_FAULT, ENDS, NOT_ACCEPTED),
    (Fault(stage="mail", reply="530 5.7.0 Log in"), Stage.MAIL, Follows.RELAY_FAULT, STAYS, NOT_ACCEPTED),
    (Fault(stage="mail", reply="552 5.3.4 Too big"), Stage.MAIL, Follows.REJECTED, STAYS, NOT_ACCEPTED),
    (Fault(stage="mail", reply="421 4.3.2 Closing"), Stage.MAIL, Follows.PENDING, ENDS, NOT_ACCEPTED),
    (
        Fault(stage="mail", reply="\r\n".join(["421 Bye"] * 3)),
        Stage.MAIL,
        Follows.PENDING,
        ENDS,
        NOT_ACCEPTED,
    ),
    (Fault(stage="mail", reply="354 What?"), Stage.MAIL, Follows.PENDING, ENDS, NOT_ACCEPTED),
    (Fault(stage="mail", do="drop"), Stage.MAIL, Follows.PENDING, ENDS, NOT_ACCEPTED),
    (Fault(stage="rcpt", reply="550 5.1.1 No such user"), Stage.RCPT, Follows.REJECTED, STAYS, NOT_ACCEPTED),
    (
        Fault(stage="rcpt", reply="550 5.1.8 No such sender"),
        Stage.RCPT,
        Follows.RELAY_FAULT,
        STAYS,
        NOT_ACCEPTED,
    ),
    (Fault(stage="rcpt", reply="450 4.2.1 Greylisted"), Stage.RCPT, Follows.DEFERRED, STAYS, NOT_ACCEPTED),
    (Fault(stage="rcpt", reply="421 4.3.2 Closing"), Stage.RCPT, Follows.PENDING, ENDS, NOT_ACCEPTED),
    (Fault(stage="rcpt", reply="503 5.5.1 MAIL first"), Stage.RCPT, Follows.PENDING, ENDS, NOT_ACCEPTED),
    (Fault(stage="rcpt", reply="certainly!"), Stage.RCPT, Follows.PENDING, ENDS, NOT_ACCEPTED),
    (Fault(stage="rcpt", do="drop"), Stage.RCPT, Follows.PENDING, ENDS, NOT_ACCEPTED),
    (Fault(stage="data", reply="554 5.7.1 No"), Stage.DATA, Follows.REJECTED, STAYS, NOT_ACCEPTED),
    (Fault(stage="data", reply="503 5.5.1 RCPT first"), Stage.DATA, Follows.PENDING, ENDS, NOT_ACCEPTED),
    (Fault(stage="data", reply="451 4.3.0 Not now"), Stage.DATA, Follows.DEFERRED, STAYS, NOT_ACCEPTED),
    (Fault(stage="data", reply="421 4.3.2 Closing"), Stage.DATA, Follows.PENDING, ENDS, NOT_ACCEPTED),
    (Fault(stage="data", reply="250 2.0.0 Fine"), Stage.DATA, Follows.PENDING, ENDS, NOT_ACCEPTED),
    (Fault(stage="data", do="drop"), Stage.DATA, Follows.PENDING, ENDS, NOT_ACCEPTED),
    (Fault(stage="body", do="drop"), Stage.DOT, Follows.IN_DOUBT, ENDS, NOT_ACCEPTED),
    (Fault(stage="dot", reply="554 5.7.1 Spam"), Stage.DOT, Follows.REJECTED, STAYS, NOT_ACCEPTED),
    (Fault(stage="dot", reply="451 4.3.0 Not now"), Stage.DOT, Follows.DEFERRED, STAYS, NOT_ACCEPTED),
    (Fault(stage="dot", reply="421 4.3.2 Closing"), Stage.DOT, Follows.DEFERRED, ENDS, NOT_ACCEPTED),
    (Fault(stage="dot", reply="550 5.4.5 Quota"), Stage.DOT, Follows.RELAY_FAULT, STAYS, NOT_ACCEPTED),
    (Fault(stage="dot", do="drop"), Stage.DOT, Follows.IN_DOUBT, ENDS, NOT_ACCEPTED),
    (Fault(stage="recorded", do="drop"), Stage.DOT, Follows.IN_DOUBT, ENDS, ACCEPTED),
    (Fault(stage="recorded", reply="354 Go on"), Stage.DOT, Follows.IN_DOUBT, ENDS, ACCEPTED),
    (
        Fault(stage="recorded", reply="550-5.7.1 No\r\n250 2.0.0 Ok"),
        Stage.DOT,
        Follows.IN_DOUBT,
        ENDS,
        ACCEPTED,
    ),
    (Fault(stage="recorded", reply="thanks"), Stage.DOT, Follows.IN_DOUBT, ENDS, ACCEPTED),
    (Fault(stage="recorded", reply="250 2.0.0 Ok\r\n250 and more"), Stage.DOT, Follows.SENT, ENDS, ACCEPTED),
    (Fault(stage="replied", reply="421 4.3.2 Closing"), Stage.DOT, Follows.SENT, ENDS, ACCEPTED),
]


def told(row: tuple[Fault, Stage, Follows, bool, bool]) -> str:
    fault = row[0]
    return f"{fault.stage}-{fault.reply[:3] if fault.do == 'reply' else fault.do}-{row[2].replace(' ', '-')}"


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelining", "one-by-one"])
@pytest.mark.parametrize(("fault", "stage", "follows", "stays", "accepted"), TABLE, ids=map(told, TABLE))
async def test_the_outcome_table(
    start_relay: StartRelay,
    fault: Fault,
    stage: Stage,
    follows: Follows,
    stays: bool,
    accepted: bool,
    pipelining: bool,
) -> None:
    address = "news@" if fault.stage == "mail" else "ann@"
    struck = Fault(stage=fault.stage, do=fault.do, reply=fault.reply, match=address, times=1)
    relay = start_relay(Behaviour(faults=(struck,), pipelining=pipelining))
    talk = Talk()
    async with session_with(relay, talk) as session:
        assert session.pipelining is pipelining
        verdict = await talk.mail(session)
        assert (verdict.follows, verdict.cause.stage) == (follows, stage)
        expected = ["ann@example.com"] if accepted else []
        assert [line.recipient for line in relay.record()] == expected
        if fault.stage != "replied":  # the closing reply comes with the 250, or a moment later: as idle
            assert session.usable is stays
        if stays:  # nothing of the failed transaction clings to the next one
            assert (await talk.mail(session, "bob@example.com")).follows is Follows.SENT
            assert [line.recipient for line in relay.record()] == [*expected, "bob@example.com"]
    assert talk.calls.count("concluded") == 1 + stays


@pytest.mark.parametrize("pipelining", [True, False])
async def test_many_mails_go_over_one_connection(start_relay: StartRelay, pipelining: bool) -> None:
    relay = start_relay(Behaviour(pipelining=pipelining, fsync=False))
    talk = Talk()
    recipients = [f"reader{i}@example.com" for i in range(30)]
    async with session_with(relay, talk) as session:
        for recipient in recipients:
            assert (await talk.mail(session, recipient)).follows is Follows.SENT
        assert session.deadline == inf
    record = relay.record()
    assert [line.recipient for line in record] == recipients
    assert [line.message_id for line in record] == [f"<{recipient}>" for recipient in recipients]
    assert len({line.connection for line in record}) == 1


async def test_a_reply_is_read_octet_by_octet(start_relay: StartRelay) -> None:
    relay = start_relay(Behaviour(byte_by_byte=True))
    talk = Talk()
    async with session_with(relay, talk) as session:
        assert (await talk.mail(session)).follows is Follows.SENT
        assert (await talk.mail(session, "bob@example.com")).follows is Follows.SENT
    assert len(relay.record()) == 2


async def test_a_large_body_arrives_whole(start_relay: StartRelay, tmp_path: Path) -> None:
    relay = start_relay(Behaviour(messages=str(tmp_path)))
    talk = Talk()
    body = b"".join(b"%09d\r\n" % i for i in range(300_000))
    assert len(body) > 10 * PIECE
    async with session_with(relay, talk) as session:
        assert (await talk.mail(session, body=body)).follows is Follows.SENT
        assert (await talk.mail(session, "bob@example.com")).follows is Follows.SENT
    kept = Path(relay.record()[0].file).read_bytes()
    assert kept.endswith(b"\r\n\r\n" + body)


async def test_a_large_body_cut_by_its_owner_delivers_nothing(start_relay: StartRelay) -> None:
    relay = start_relay(Behaviour(faults=(Fault(stage="body", do="hold"),)))
    talk = Talk()
    async with session_with(relay, talk) as session:
        session.begin(envelope(body=(b"x" * 78 + b"\r\n") * 400_000))
        await relay.wait_for(lambda event: event.event == "body")
        assert session.body_begun
        session.close()
    relay.release()
    await relay.wait_for(lambda event: event.event == "aborted")
    assert relay.record() == []
    assert talk.calls == ["body_wanted"]


async def test_a_large_body_refused_within_is_rejected(start_relay: StartRelay) -> None:
    faults = (
        Fault(stage="body", reply="552 5.3.4 Too large", times=1),
        Fault(stage="dot", do="silence"),
    )
    relay = start_relay(Behaviour(faults=faults))
    talk = Talk()
    async with session_with(relay, talk) as session:
        verdict = await talk.mail(session, body=(b"x" * 78 + b"\r\n") * 400_000)
        assert verdict.follows is Follows.REJECTED
        assert not session.usable
    assert relay.record() == []


async def test_an_idle_connection_closed_by_the_relay_is_told(start_relay: StartRelay) -> None:
    relay = start_relay(Behaviour(idle=1.0))
    talk = Talk()
    async with session_with(relay, talk) as session:
        await talk.until_gone()
        assert not session.usable
        with pytest.raises(RuntimeError):
            session.begin(envelope())
    assert talk.calls == ["gone"]


async def test_a_cut_connection_is_told_once(start_relay: StartRelay) -> None:
    relay = start_relay()
    talk = Talk(holds_bodies=True)
    async with session_with(relay, talk) as session:
        session.begin(envelope())
        await talk.until_wanted()
        relay.kick()
        verdict = await talk.verdict()
        assert verdict == (Follows.PENDING, Cause(Stage.DATA))
        assert not session.usable
        session.check_time(inf)
    assert talk.calls == ["body_wanted", "concluded"]


async def test_nothing_leaves_before_the_owner_says_so(start_relay: StartRelay) -> None:
    relay = start_relay()
    talk = Talk(holds_bodies=True)
    async with session_with(relay, talk) as session:
        session.begin(envelope())
        await talk.until_wanted()
        assert session.deadline == inf
        session.send_body()
        assert session.body_begun
        assert (await talk.verdict()).follows is Follows.SENT


async def test_a_transaction_withdrawn_at_354_delivers_nothing(start_relay: StartRelay) -> None:
    relay = start_relay()
    talk = Talk(holds_bodies=True)
    async with session_with(relay, talk) as session:
        session.begin(envelope())
        await talk.until_wanted()
        session.close()
        with pytest.raises(RuntimeError):
            session.send_body()
        session.check_time(inf)
    await relay.wait_for(lambda event: event.event == "aborted")
    assert relay.record() == []
    assert talk.calls == ["body_wanted"]


@pytest.mark.parametrize("size", [100, 3 * PIECE])
async def test_a_body_for_a_connection_known_to_be_lost_leaves_nobody_in_doubt(
    start_relay: StartRelay, size: int
) -> None:
    relay = start_relay()
    talk = Talk(holds_bodies=True)
    async with session_with(relay, talk) as session:
        session.begin(envelope(body=b"x" * size))
        await talk.until_wanted()
        session._transport.abort()  # as a failed write does: closing, and nobody told yet
        session.send_body()
        assert not session.body_begun
        assert (await talk.verdict()).follows is Follows.PENDING
    assert talk.calls == ["body_wanted", "concluded"]


async def test_an_envelope_for_a_connection_known_to_be_lost_is_concluded_as_pending(
    start_relay: StartRelay,
) -> None:
    talk = Talk()
    async with session_with(start_relay(), talk) as session:
        session._transport.abort()
        assert (await talk.mail(session)).follows is Follows.PENDING
        assert not session.usable
    assert talk.calls == ["concluded"]


@pytest.mark.parametrize("unasked", ["250 2.0.0 Ok: queued", "421 4.4.2 Too slow", "nonsense", "2"])
async def test_what_is_said_while_the_body_waits_is_never_taken_for_its_answer(
    start_relay: StartRelay, unasked: str
) -> None:
    relay = start_relay()
    talk = Talk(holds_bodies=True)
    async with session_with(relay, talk) as session:
        session.begin(envelope())
        await talk.until_wanted()
        relay.say(unasked)
        assert (await talk.verdict()).follows is Follows.PENDING
        assert not session.usable
    assert relay.record() == []


@pytest.mark.parametrize("more", ["250 2.0.0 Ok: queued", "250-2.0.0 Ok, and", "nonsense"])
async def test_an_answer_sent_together_with_the_354_is_not_taken_for_the_bodys(
    start_relay: StartRelay, more: str
) -> None:
    premature = Fault(stage="data", reply=f"354 Go on\r\n{more}")
    relay = start_relay(Behaviour(faults=(premature,)))
    talk = Talk()
    async with session_with(relay, talk) as session:
        verdict = await talk.mail(session)
        assert verdict.follows is Follows.PENDING
        assert not session.body_begun
    assert talk.calls == ["concluded"]
    assert relay.record() == []


async def test_a_reply_to_a_command_not_yet_sent_ends_the_connection(start_relay: StartRelay) -> None:
    relay = start_relay(Behaviour(pipelining=False, faults=(Fault(stage="mail", reply="250 Ok\r\n250 Ok"),)))
    talk = Talk()
    async with session_with(relay, talk) as session:
        assert (await talk.mail(session)).follows is Follows.PENDING
        assert not session.usable


async def test_a_354_after_a_refused_recipient_is_met_with_a_lone_dot(start_relay: StartRelay) -> None:
    refused = Fault(stage="rcpt", reply="550 5.1.1 No such user", times=1)
    relay = start_relay(Behaviour(faults=(refused,), lenient=True))
    talk = Talk()
    async with session_with(relay, talk) as session:
        verdict = await talk.mail(session)
        assert verdict == (Follows.REJECTED, Cause(Stage.RCPT, 550, "5.1.1"))
        assert talk.words == b"No such user"
        assert session.usable
        assert (await talk.mail(session, "bob@example.com")).follows is Follows.SENT
    assert [line.recipient for line in relay.record()] == ["bob@example.com"]
    assert talk.calls == ["concluded", "body_wanted", "concluded"]


async def test_a_354_for_a_recipient_whose_sender_was_refused_is_met_by_leaving(
    start_relay: StartRelay,
) -> None:
    """A lone dot would deliver an empty mail."""
    refused = Fault(stage="mail", reply="550 5.7.1 Not you")
    relay = start_relay(Behaviour(faults=(refused,), lenient=True))
    talk = Talk()
    async with session_with(relay, talk) as session:
        verdict = await talk.mail(session)
        assert verdict == (Follows.RELAY_FAULT, Cause(Stage.MAIL, 550, "5.7.1"))
        assert not session.usable
        await relay.wait_for(lambda event: event.event == "closed")
    assert relay.record() == []
    assert talk.calls == ["concluded"]


async def test_a_connection_lost_behind_a_refusal_does_not_change_it(start_relay: StartRelay) -> None:
    faults = (Fault(stage="rcpt", reply="550 5.1.1 No such user"), Fault(stage="data", do="drop"))
    relay = start_relay(Behaviour(faults=faults, lenient=True))
    talk = Talk()
    async with session_with(relay, talk) as session:
        assert (await talk.mail(session)).cause == Cause(Stage.RCPT, 550, "5.1.1")
        assert not session.usable


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("reply", ["421 4.3.2 Closing", "550 5.5.1 No"])
async def test_a_refused_rset_leaves_the_next_recipient_pending(
    start_relay: StartRelay, pipelining: bool, reply: str
) -> None:
    faults = (Fault(stage="rcpt", reply="550 5.1.1 No", match="ann@"), Fault(stage="rset", reply=reply))
    relay = start_relay(Behaviour(pipelining=pipelining, faults=faults))
    talk = Talk()
    async with session_with(relay, talk) as session:
        await talk.mail(session)
        verdict = await talk.mail(session, "bob@example.com")
        assert (verdict.follows, verdict.cause.stage) == (Follows.PENDING, Stage.RSET)
        assert not session.usable


StageName = Literal["mail", "rcpt", "data", "recorded"]


@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize(
    ("at", "stage", "follows"),
    [
        ("mail", Stage.MAIL, Follows.PENDING),
        ("rcpt", Stage.RCPT, Follows.PENDING),
        ("data", Stage.DATA, Follows.PENDING),
        ("recorded", Stage.DOT, Follows.IN_DOUBT),
    ],
)
async def test_a_silent_relay_is_given_its_time_and_no_more(
    start_relay: StartRelay, at: StageName, stage: Stage, follows: Follows, pipelining: bool
) -> None:
    relay = start_relay(Behaviour(pipelining=pipelining, faults=(Fault(stage=at, do="silence"),)))
    talk = Talk()
    async with session_with(relay, talk) as session:
        before = asyncio.get_running_loop().time()
        session.begin(envelope())
        await relay.wait_for(lambda event: event.event == at)
        await answered_up_to(session, stage)
        given = session.deadline - before
        expected = STAGES[stage].time_out.total_seconds()
        assert expected - 0.001 < given < expected + 20
        session.check_time(session.deadline - 0.001)
        assert talk.calls.count("concluded") == 0
        session.check_time(session.deadline)
        assert await talk.verdict() == (follows, Cause(stage))
        assert not session.usable


async def answered_up_to(session: Session, stage: Stage) -> None:
    """Until the replies before `stage` have come here too."""
    async with asyncio.timeout(60):
        while session._stage is not stage:  # noqa: ASYNC110 - the session has no event for this
            await asyncio.sleep(0)


async def test_a_session_taken_leave_of_says_quit(start_relay: StartRelay) -> None:
    relay = start_relay()
    talk = Talk()
    async with session_with(relay, talk) as session:
        await talk.mail(session)
        session.quit()
        assert not session.usable
        await relay.wait_for(lambda event: event.event == "quit")
        await relay.wait_for(lambda event: event.event == "closed")
    assert "gone" not in talk.calls


async def test_a_session_passes_from_hand_to_hand(start_relay: StartRelay) -> None:
    relay = start_relay()
    first, second = Talk(), Talk()
    async with session_with(relay, first) as session:
        await first.mail(session)
        session.conversation = second
        assert (await second.mail(session, "bob@example.com")).follows is Follows.SENT
    assert first.calls == second.calls == ["body_wanted", "concluded"]


async def test_a_relay_that_limits_its_messages_costs_the_connection_only(start_relay: StartRelay) -> None:
    relay = start_relay(Behaviour(messages_per_connection=2))
    talk = Talk()
    async with session_with(relay, talk) as session:
        found = [(await talk.mail(session, f"r{i}@example.com")).follows for i in range(3)]
    assert found == [Follows.SENT, Follows.SENT, Follows.PENDING]


async def test_a_refusal_spares_the_commands_behind_it_where_they_go_one_by_one(
    start_relay: StartRelay,
) -> None:
    faults = (
        Fault(stage="mail", reply="550 5.7.1 Not you", times=1),
        Fault(stage="rcpt", reply="550 5.1.1 No such user", times=1),
    )
    relay = start_relay(Behaviour(pipelining=False, faults=faults))
    talk = Talk()
    async with session_with(relay, talk) as session:
        found = [(await talk.mail(session)).cause.stage for _ in range(3)]
    assert found == [Stage.MAIL, Stage.RCPT, Stage.DOT]
    assert not any(event.event == "out_of_order" for event in relay.events())


# What the relay offers


@pytest.mark.parametrize(
    ("offers", "expected"),
    [
        (Behaviour(), "MAIL FROM:<news@example.org> SIZE=63 BODY=8BITMIME"),
        (Behaviour(utf8=False), "MAIL FROM:<news@example.org> SIZE=63 BODY=8BITMIME"),
        (Behaviour(size=None), "MAIL FROM:<news@example.org> BODY=8BITMIME"),
        (Behaviour(eight_bit=False), "MAIL FROM:<news@example.org> SIZE=63"),
        (Behaviour(eight_bit=False, size=None), "MAIL FROM:<news@example.org>"),
    ],
)
async def test_mail_carries_what_the_relay_offers(
    start_relay: StartRelay, offers: Behaviour, expected: str
) -> None:
    relay = start_relay(offers)
    talk = Talk()
    async with session_with(relay, talk) as session:
        assert session.eight_bit is offers.eight_bit
        await talk.mail(session, size=63)
    assert [event.line for event in relay.events() if event.event == "mail"] == [expected]


async def test_a_message_above_the_offered_size_is_rejected_without_asking(start_relay: StartRelay) -> None:
    relay = start_relay(Behaviour(size=1000))
    talk = Talk()
    async with session_with(relay, talk) as session:
        verdict = await talk.mail(session, size=1001)
        assert verdict == (Follows.REJECTED, Cause(Stage.MAIL, 552, "5.3.4"))
        assert session.usable
        assert not any(event.event == "mail" for event in relay.events())
        assert (await talk.mail(session, "bob@example.com")).follows is Follows.SENT


async def test_an_address_in_utf8_needs_the_relays_offer(start_relay: StartRelay) -> None:
    relay = start_relay(Behaviour(utf8=False))
    talk = Talk()
    async with session_with(relay, talk) as session:
        verdict = await talk.mail(session, "jürgen@example.com", utf8=True)
        assert verdict == (Follows.REJECTED, Cause(Stage.MAIL, 553, "5.6.7"))
        assert session.usable


async def test_an_address_in_utf8_goes_where_it_is_offered(start_relay: StartRelay) -> None:
    relay = start_relay()
    talk = Talk()
    async with session_with(relay, talk) as session:
        assert session.eight_bit
        assert (await talk.mail(session, "jürgen@example.com", utf8=True)).follows is Follows.SENT
    assert relay.record()[0].recipient == "jürgen@example.com"
    (mail,) = [event.line for event in relay.events() if event.event == "mail"]
    assert mail.endswith(" SMTPUTF8")


async def test_ten_thousand_foreseen_refusals_do_not_exhaust_the_stack(start_relay: StartRelay) -> None:
    relay = start_relay(Behaviour(size=10))
    left = 10_000
    done = asyncio.Event()

    class Next(Talk):
        def concluded(self, session: Session, verdict: object, words: bytes) -> None:
            nonlocal left
            left -= 1
            session.begin(envelope()) if left else done.set()

    async with session_with(relay, Next()) as session:
        session.begin(envelope())
        await asyncio.wait_for(done.wait(), 60)


@pytest.mark.parametrize(
    "address", ["a\r\nRCPT TO:<b@example.com>", "a\0@b", "<a@b>", "a b@c", "jürgen@example.com"]
)
async def test_an_address_that_could_break_the_envelope_is_never_sent(
    start_relay: StartRelay, address: str
) -> None:
    relay = start_relay()
    talk = Talk()
    async with session_with(relay, talk) as session:
        for wrong in (envelope(address), envelope(sender=address)):
            with pytest.raises(ValueError, match="an envelope address") as caught:
                session.begin(wrong)
            assert address not in str(caught.value)
        assert session.usable
        assert (await talk.mail(session)).follows is Follows.SENT


async def test_a_body_nobody_wants_is_a_mistake(start_relay: StartRelay) -> None:
    relay = start_relay()
    async with session_with(relay, Talk()) as session:
        with pytest.raises(RuntimeError):
            session.send_body()


async def test_the_relay_tells_its_events_in_order(start_relay: StartRelay) -> None:
    relay = start_relay()
    talk = Talk()
    async with session_with(relay, talk) as session:
        await talk.mail(session)
        session.quit()
        await relay.wait_for(lambda event: event.event == "closed")
    names = [event.event for event in relay.events()]
    assert names[:4] == ["connected", "greeting", "ehlo", "mail"]
    assert names[4:] == ["rcpt", "data", "body", "dot", "recorded", "quit", "closed"]
