"""Measure how fast batches are mailed, beside a bare aiosmtplib loop, and how soon one goes on elsewhere
whose worker is killed.

    make bench                                    all of it
    make bench ARGS="local --rounds 5"            one scenario, more rounds
    make bench ARGS=--quick                       does it run? The figures mean little

Compare only within one run: everything depends on the machine and on what else it does. Slow is not wrong:
the exit code is 0 unless something broke, or somebody was not mailed exactly once (or, where a worker was
killed, was lost, or mailed twice and not named).
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from batchmail.errors import BatchmailError
from benchmarks.figures import table
from benchmarks.machine import machine
from benchmarks.processes import BenchmarkError
from benchmarks.scenarios import SCENARIOS, Size

RESULTS = Path(__file__).with_name("results.md")

# Recipients, connections and rounds.
_FULL = {
    "local": (20_000, 100, 3),
    "postgres": (20_000, 200, 3),
    "command": (20_000, 100, 3),
    "distant": (5_000, 50, 3),
    "takeover": (200, 20, 10),
}
_QUICK = {
    "local": (2_000, 20, 1),
    "postgres": (2_000, 20, 1),
    "command": (2_000, 20, 1),
    "distant": (500, 20, 1),
    "takeover": (100, 20, 1),
}


def main() -> int:
    """Run the scenarios; returns the exit code."""
    options = _parser().parse_args()
    said = [machine(), "", "Median of the rounds (least–greatest); ratios are taken within each round."]
    print("\n".join(said), flush=True)
    try:
        for name in options.scenarios or SCENARIOS:
            with tempfile.TemporaryDirectory(prefix="batchmail-bench-") as folder:
                size = _size(name, options)
                measured = SCENARIOS[name](Path(folder), size)
            as_set = (size.recipients, size.connections) == _FULL[name][:2]
            said += ["", table(measured, goals=as_set)]
            print(f"\n{said[-1]}\n", flush=True)
    except (BenchmarkError, BatchmailError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130
    if options.save:
        RESULTS.write_text("\n".join(["# One run of `make bench`", "", *said, ""]))
    return 0


def _size(name: str, options: argparse.Namespace) -> Size:
    recipients, connections, rounds = (_QUICK if options.quick else _FULL)[name]
    return Size(
        recipients=options.recipients or recipients,
        connections=options.connections or connections,
        rounds=options.rounds or rounds,
        settings=dict(options.set),
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "scenarios", nargs="*", type=_scenario, help=f"{', '.join(SCENARIOS)}; all unless given"
    )
    parser.add_argument(
        "--rounds",
        type=_positive,
        help="of ours and the reference in turn (3); takeover: kills on each server (10)",
    )
    parser.add_argument(
        "--recipients", type=_positive, help="of a batch (20,000; distant: 5,000, takeover: 200)"
    )
    parser.add_argument(
        "--connections", type=_positive, help="to the relay (100; postgres: 200, distant: 50, takeover: 20)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        type=_setting,
        metavar="NAME=VALUE",
        help="a setting of the worker (not: command)",
    )
    parser.add_argument("--quick", action="store_true", help="one small round: does it run?")
    parser.add_argument("--save", action="store_true", help=f"write benchmarks/{RESULTS.name}")
    return parser


def _scenario(text: str) -> str:
    if text not in SCENARIOS:
        raise argparse.ArgumentTypeError(f"{text!r} is none of {', '.join(SCENARIOS)}")
    return text


def _setting(text: str) -> tuple[str, str]:
    name, given, value = text.partition("=")
    if not given:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
