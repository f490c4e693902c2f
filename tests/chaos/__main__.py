"""Batches under a seeded schedule of faults, judged by the relay's record.

    python -m tests.chaos --schedules 20
    python -m tests.chaos --seed 7 --server postgres --schedules 1 --show

A line a schedule; one that breaks a promise keeps its folder (logs, record, report), and its line says how to
run it again. The exit code is 0 where every promise was kept.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import secrets
import shutil
import signal
import sys
import tempfile
import traceback
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from batchmail.engine.runtime import prepare_runtime
from tests.chaos.batch import Account, carry_out
from tests.chaos.schedule import Deed, Schedule, Server, draw
from tests.chaos.servers import make_fresh
from tests.processes import forget_settings


async def main(options: argparse.Namespace) -> int:
    """All schedules, one after the other, until SIGINT or SIGTERM: then every process is ended, too."""
    ours = asyncio.current_task()
    assert ours is not None
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, ours.cancel)
    base = Path(tempfile.mkdtemp(prefix="batchmail-chaos-"))
    schedules = [
        draw(seed, server, options.recipients, options.strikes)
        for server in options.server or list(Server)
        for seed in range(options.seed, options.seed + options.schedules)
    ]
    print(f"{len(schedules)} schedules from seed {options.seed}", flush=True)
    accounts: list[Account] = []
    failed = 0
    try:
        for schedule in schedules:
            if options.show:
                print(schedule, flush=True)
            folder = base / f"{schedule.server}-{schedule.seed}"
            folder.mkdir(mode=0o700)
            try:
                account = await carry_out(schedule, folder, _fresh(base, schedule), options.longest)
            except asyncio.CancelledError:
                shutil.rmtree(folder)
                raise
            except Exception:
                traceback.print_exc()
                broken: Sequence[str] = ["the schedule could not be carried out"]
            else:
                accounts.append(account)
                broken = account.broken
                print(_line(account), flush=True)
            if broken:
                failed += 1
                print(_failure(schedule, broken, folder), flush=True)
            elif not options.keep:
                shutil.rmtree(folder)
    finally:
        shutil.rmtree(base / "fresh", ignore_errors=True)
        if not any(base.iterdir()):
            base.rmdir()
    print(_summary(accounts, failed))
    return 1 if failed else 0


def _fresh(base: Path, schedule: Schedule) -> Path:
    fresh = base / "fresh"
    if schedule.server is Server.POSTGRES and not fresh.exists():
        make_fresh(fresh)
    return fresh


def _line(account: Account) -> str:
    schedule = account.schedule
    facts = [
        f"seed {schedule.seed} {schedule.server} {schedule.in_doubt}",
        f"{account.struck.total()} strikes",
        f"in doubt {account.in_doubt}, by attempts {account.by_attempts} of {account.most_by_attempts}",
        f"twice {account.twice}",
        f"told {account.notices}",
        f"{account.superseded} attempts superseded",
        *([f"{schedule.failing_calls:.1%} of calls fail"] if schedule.failing_calls else []),
        f"{account.seconds:.0f} s",
        "BROKEN" if account.broken else "clean",
    ]
    deeds = ", ".join(f"{deed} {times}" for deed, times in sorted(account.struck.items()))
    return f"{' | '.join(facts)}\n    {deeds}"


def _failure(schedule: Schedule, broken: Sequence[str], folder: Path) -> str:
    again = (
        f"--seed {schedule.seed} --server {schedule.server} --schedules 1 --recipients {schedule.recipients}"
    )
    lines = [f"    - {one}" for one in broken]
    return "\n".join(
        [*lines, f"    see {folder}; again: python -m tests.chaos {again} --strikes {_drawn(schedule)}"]
    )


def _drawn(schedule: Schedule) -> int:
    """With how many strikes it was drawn: the one at the notice comes on top."""
    return sum(strike.after is not None for strike in schedule.strikes)


def _summary(accounts: Sequence[Account], failed: int) -> str:
    lines = []
    for server in Server:
        of_it = [account for account in accounts if account.schedule.server is server]
        if not of_it:
            continue
        struck: Counter[Deed] = sum((account.struck for account in of_it), Counter())
        kills = struck[Deed.KILL_WORKER] + struck[Deed.KILL_WORKERS]
        untouched = [account for account in of_it if not account.struck[Deed.RESET_SLICES]]
        failing = sum(account.schedule.failing_calls > 0 for account in of_it)
        lines += [
            f"{server}: {len(of_it)} schedules, {sum(not account.broken for account in of_it)} clean, "
            f"{sum(account.seconds for account in of_it):,.0f} s",
            f"  {sum(account.schedule.recipients for account in of_it):,} recipients, "
            f"{struck.total()} strikes, {kills} of them killed workers",
            f"  {_doubts(of_it)}",
            f"  where no slice was reset by hand: {len(untouched)} schedules, {_doubts(untouched)}",
            f"  where calls were committed and reported as failed: {failing} schedules",
            *(f"  {times:4} {deed}" for deed, times in struck.most_common()),
        ]
    lines.append(f"{failed} failed" if failed else "Nobody was lost, and nobody was mailed twice in silence.")
    return "\n".join(lines)


def _doubts(accounts: Sequence[Account]) -> str:
    superseded = sum(account.superseded for account in accounts)
    in_doubt = sum(account.in_doubt for account in accounts)
    twice = sum(account.twice for account in accounts)
    return f"{superseded} attempts superseded, {in_doubt:,} recipients in doubt, {twice:,} accepted twice"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--seed", type=int, default=secrets.randbelow(10**6), help="of the first schedule")
    parser.add_argument(
        "--server", type=Server, action="append", help="postgres or embedded; both unless given"
    )
    parser.add_argument("--schedules", type=int, default=20, help="on each server (default 20)")
    parser.add_argument("--recipients", type=int, default=20_000, help="of each batch (default 20,000)")
    parser.add_argument("--strikes", type=int, default=10, help="in each schedule (default 10)")
    parser.add_argument("--longest", type=float, default=600, help="seconds until a batch counts as stuck")
    parser.add_argument("--keep", action="store_true", help="keep the folders of clean schedules, too")
    parser.add_argument("--show", action="store_true", help="print each schedule before it begins")
    return parser.parse_args()


if __name__ == "__main__":
    options = _options()
    forget_settings()
    prepare_runtime()
    logging.disable(logging.WARNING)  # a server that is away is no news here
    try:
        sys.exit(asyncio.run(main(options)))
    except asyncio.CancelledError:
        sys.exit(130)
