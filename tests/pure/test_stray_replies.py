"""A reply too many never counts for somebody else: nobody is called sent, or rejected, on another's account.

A relay that answers every command in order, and now and then says something that nobody has asked for. The
stray may come at any moment between its answers; every order is tried for few strays, and many orders at
random for more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchmail.batch.outcomes import Follows
from batchmail.relay.session import Offers
from tests.pure.relay_line import Line, commands

Choose = Callable[[int], int]
"""One of so many ways, counted from 0."""

PEOPLE = ["ann@example.com", "bob@example.com", "cid@example.com"]
BODIES = {person: b"\r\nHello %s.\r\n.\r\n" % person.encode() for person in PEOPLE}
YES = [b"250 2.0.0 Ok\r\n", b"354 Go ahead\r\n"]
NO = [b"550 5.1.1 No such user\r\n", b"503 5.5.1 Bad sequence of commands\r\n"]


class Kind(NamedTuple):
    """How the relay is: `lenient` takes RCPT and DATA also after a refusal."""

    pipelining: bool
    lenient: bool


KINDS = [Kind(pipelining, lenient) for pipelining in (True, False) for lenient in (True, False)]


class Relay:
    """Reads what the session has written, and has its answers ready in order."""

    def __init__(self, kind: Kind, choose: Choose) -> None:
        self.answers: list[bytes] = []
        self.accepted: list[tuple[str, bytes]] = []
        self.refused: set[str] = set()
        self.current = ""
        self._kind, self._choose = kind, choose
        self._read = 0
        self._mail = False
        self._recipient = ""
        self._data: bytes | None = None

    def _answer(self, refusal: bytes) -> None:
        if refusal[:1] in b"45":
            self.refused.add(self.current)
        self.answers.append(refusal)

    def read(self, written: bytes) -> None:
        while (end := written.find(b"\r\n", self._read)) >= 0:
            line, self._read = written[self._read : end + 2], end + 2
            if self._data is None:
                self._take(line)
            elif line == b".\r\n":
                self._end(self._data + line)
            else:
                self._data += line

    def _end(self, data: bytes) -> None:
        if self._recipient:
            self.accepted.append((self._recipient, data))
            self.answers.append(b"250 2.0.0 Ok: queued\r\n")
        else:
            self._answer(b"554 5.5.1 No valid recipients\r\n")
        self._data, self._mail, self._recipient = None, False, ""

    def _take(self, line: bytes) -> None:
        match line[:4]:
            case b"RSET":
                self._mail, self._recipient = False, ""
                self.answers.append(b"250 2.0.0 Ok\r\n")
            case b"MAIL" if self._mail:
                self._answer(NO[1])
            case b"MAIL":
                self._mail = self._choose(2) == 0
                self._answer(b"250 2.1.0 Ok\r\n" if self._mail else b"451 4.3.0 Not now\r\n")
            case b"RCPT":
                recipient = line[9:-3].decode()
                if not self._mail and not self._kind.lenient:
                    self._answer(NO[1])
                elif self._choose(2) == 0:
                    self._recipient = recipient
                    self.answers.append(b"250 2.1.5 Ok\r\n")
                else:
                    self._answer(NO[0])
            case _ if self._recipient or self._kind.lenient:
                self._data = b""
                self.answers.append(b"354 Go ahead\r\n")
            case _:
                self._answer(b"554 5.5.1 No valid recipients\r\n")


def run(
    kind: Kind, choose: Choose, people: int, strays: int, stray: list[bytes], *, joins: bool = False
) -> tuple[Line, Relay]:
    """One conversation, to its end. `joins`: what the relay says may arrive with what it says next."""
    line, relay = Line(Offers(pipelining=kind.pipelining)), Relay(kind, choose)
    waiting = PEOPLE[:people][::-1]
    said = b""
    while True:
        if line.session.usable and waiting:
            person = waiting.pop()
            line.begin(person, BODIES[person])
        relay.current = line.current
        relay.read(bytes(line.written))
        if not (relay.answers or strays) or line.is_closing():
            line.hear(said)
            return line, relay
        choice = choose(bool(relay.answers) + (len(stray) if strays else 0))
        if choice == 0 and relay.answers:
            said += relay.answers.pop(0)
        else:
            strays -= 1
            said += stray[choice - bool(relay.answers)]
        if not joins or choose(2) == 0:
            line.hear(said)
            said = b""


def check(line: Line, relay: Relay, *, only_yes: bool) -> None:
    commands(bytes(line.written), BODIES)
    for person, data in relay.accepted:
        assert data in {BODIES[person], b".\r\n"}, "a mail went to somebody else"
    accepted = [person for person, _ in relay.accepted]
    for ended in line.concluded_ones:
        follows = ended.verdict.follows
        if follows is Follows.SENT:
            assert ended.recipient in accepted, "sent by another's reply"
        elif only_yes and follows in {Follows.REJECTED, Follows.DEFERRED}:
            assert ended.recipient in relay.refused, "refused by another's reply"


def every(run_with: Callable[[Choose], None]) -> int:
    """Run for every sequence of choices; how many there were."""
    tape: list[int] = []
    runs = 0
    while True:
        taken: list[tuple[int, int]] = []
        run_with(_following(tape, taken))
        runs += 1
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        if not taken:
            return runs
        tape = [way for way, _ in taken]
        tape[-1] += 1


def _following(tape: list[int], taken: list[tuple[int, int]]) -> Choose:
    """Choose as the tape says, and the first way behind its end; `taken`: each way, and of how many."""

    def choose(ways: int) -> int:
        taken.append((tape[len(taken)] if len(taken) < len(tape) else 0, ways))
        return taken[-1][0]

    return choose


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("strays", [0, 1, 2])
async def test_no_stray_reply_counts_for_somebody_else(kind: Kind, strays: int) -> None:
    def conversation(choose: Choose) -> None:
        check(*run(kind, choose, 3, strays, YES + NO), only_yes=False)

    assert every(conversation) > 10


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("strays", [0, 1, 2])
async def test_no_stray_success_has_somebody_refused(kind: Kind, strays: int) -> None:
    def conversation(choose: Choose) -> None:
        check(*run(kind, choose, 3, strays, YES), only_yes=True)

    assert every(conversation) > 10


@pytest.mark.fuzz
@given(st.sampled_from(KINDS), st.integers(1, 2), st.booleans(), st.data())
async def test_no_stray_reply_counts_however_the_bytes_arrive(
    kind: Kind, strays: int, only_yes: bool, data: st.DataObject
) -> None:
    def choose(ways: int) -> int:
        return data.draw(st.integers(0, ways - 1))

    stray = YES if only_yes else YES + NO
    check(*run(kind, choose, len(PEOPLE), strays, stray, joins=True), only_yes=only_yes)
