"""How many connections a relay admits is found, and found again when it admits more or fewer."""

from __future__ import annotations

import pytest

from batchmail.relay.admission import SOON, TRIES, Admission

WANTED = 20


class Relay:
    """A relay that admits `most` connections, and who asks it; an open connection mails at once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.open = 0
        self.now = 0.0
        self.refused: list[float] = []
        self.admission = Admission()

    def ask(self) -> None:
        """Open as many as may be opened now: all together, then each gets its answer."""
        room = self.admission.room(self.now, self.open, 0)
        asked = int(min(room, WANTED - self.open))
        replaces = [self.admission.replaces(self.open + one) for one in range(asked)]
        for place, replacement in enumerate(replaces):
            still_asked = asked - place - 1
            if self.open < self.most:
                self.open += 1
                self.admission.used(self.open + still_asked)
            else:
                self.refused.append(self.now)
                self.admission.refused(self.now, self.open + still_asked, replacement=replacement)

    def run(self, seconds: float) -> None:
        """Time passes, in steps of a hundredth of a second."""
        for _ in range(round(seconds * 100)):
            self.ask()
            self.now += 0.01

    def close(self, connections: int) -> None:
        """As relays do after some mails."""
        self.open -= connections


def test_all_connections_are_asked_for_at_once() -> None:
    relay = Relay(most=WANTED)
    relay.ask()
    assert relay.open == WANTED
    assert not relay.refused


@pytest.mark.parametrize("most", [1, 2, 7, 19])
def test_a_relay_that_admits_fewer_is_asked_for_one_more_ever_more_rarely(most: int) -> None:
    relay = Relay(most)
    relay.run(300)
    assert relay.open == most
    later = [at for at in relay.refused if at > 0]
    assert [round(at) for at in later] == [1, 3, 7, 15, 31, 63, 123, 183, 243]


def test_a_relay_that_admits_more_again_is_used_with_all_of_it_after_one_delay() -> None:
    relay = Relay(most=2)
    relay.run(300)
    refused = len(relay.refused)
    relay.most = 100
    relay.run(61)
    assert relay.open == WANTED
    assert len(relay.refused) == refused


def test_connections_that_the_relay_closes_are_replaced_at_once_whatever_the_delay() -> None:
    relay = Relay(most=5)
    relay.run(100)
    refused = len(relay.refused)
    relay.close(5)
    relay.run(0.02)
    assert relay.open == 5
    assert len(relay.refused) == refused


def test_a_replacement_refused_for_a_moment_does_not_shrink_the_window() -> None:
    relay = Relay(most=5)
    relay.run(100)
    relay.most = 3  # two closed connections are still counted
    relay.close(2)
    before = len(relay.refused)
    relay.run(0.05)
    assert len(relay.refused) - before <= 4
    relay.most = 5
    relay.run(3 * SOON)
    assert relay.open == 5


def test_a_relay_that_admits_fewer_than_before_is_believed_after_some_tries() -> None:
    relay = Relay(most=15)
    relay.run(100)
    relay.most = 4
    relay.close(15)
    before = len(relay.refused)
    relay.run(10)
    assert relay.open == 4
    assert len(relay.refused) - before <= 11 + TRIES + 5
    relay.most = 15
    relay.run(60)
    assert relay.open == 15


def test_a_relay_that_is_away_is_asked_by_one_connection_at_a_time() -> None:
    relay = Relay(most=0)
    relay.run(200)
    assert len(relay.refused) == WANTED + 8
    relay.most = WANTED
    relay.run(61)
    assert relay.open == WANTED


def test_while_a_replacement_is_in_question_one_connection_is_tried_at_a_time() -> None:
    admission = Admission()
    for count in range(1, 6):
        admission.used(count)
    assert not admission.refused(0.0, 4, replacement=True)
    assert admission.room(0.0, 3, 0) == 0
    assert admission.room(SOON, 3, 1) == 0
    assert admission.room(SOON, 3, 0) == 1
    admission.used(4)
    assert admission.room(SOON, 3, 0) > 1
