"""Relays of the tests: real processes that behave and misbehave on order."""

from tests.relays.behaviour import Behaviour, Fault
from tests.relays.process import Accepted, Event, RelayProcess

__all__ = ["Accepted", "Behaviour", "Event", "Fault", "RelayProcess"]
