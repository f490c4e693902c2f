"""Ports for the development server."""

from __future__ import annotations

import socket

from batchmail.engine.ports import LOOPBACK, any_free, candidates


def test_preferred_ports_that_are_free_come_first_and_in_order() -> None:
    first, second = any_free(), any_free()
    offered = candidates(first, None, second)
    assert [next(offered), next(offered)] == [first, second]


def test_a_pair_of_which_one_port_is_taken_is_not_offered() -> None:
    preferred = any_free()
    with socket.create_server((LOOPBACK, preferred.ui)):
        assert preferred not in list(candidates(preferred))


def test_several_free_pairs_are_offered_since_others_may_be_quicker() -> None:
    offered = list(candidates(tries=3))
    assert len(offered) == 3
    assert all(len(set(pair)) == 2 for pair in offered)
