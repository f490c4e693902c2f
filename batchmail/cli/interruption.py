"""Ctrl-C and SIGTERM: the first ends the command in order, the second at once."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Coroutine

from batchmail.cli.screen import Screen

EXIT_CODE = 130


class Interruption:
    """What a person is told who ends the command now. The command changes it as it goes on."""

    def __init__(self) -> None:
        self.at_once = ""
        """Said when the signal comes."""
        self.farewell = "Stopped: nothing was mailed."
        """Said when all has been left in order."""


async def interruptible(work: Callable[[Interruption], Coroutine[None, None, int]], screen: Screen) -> int:
    """The exit code of `work`; 130 when a signal ended it, its contexts having been left in order."""
    interruption = Interruption()
    task = asyncio.ensure_future(work(interruption))
    signalled = False

    def end() -> None:
        nonlocal signalled
        if signalled:
            screen.err.show_cursor(True)
            os._exit(EXIT_CODE)
        signalled = True
        if not task.done():
            if interruption.at_once:
                screen.say(interruption.at_once)
            task.cancel()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)
    try:
        return await task
    except asyncio.CancelledError:
        if not signalled:
            raise
        screen.say(interruption.farewell)
        return EXIT_CODE
