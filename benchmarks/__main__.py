"""Measure how fast batches are mailed, beside a bare aiosmtplib loop.

    make bench                                    all of it
    make bench ARGS="local --rounds 5"            one scenario, more rounds
    make bench ARGS=--quick                       does it run? The figures mean little

Compare only within one run: everything depends on the machine and on what else it does. Slow is not wrong:
the exit code is 0 unless something broke, or somebody was not mailed exactly once.
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


def size_of(name: str, options: argparse.Namespace) -> Size:
    """How much is measured; a slow line is given less."""
    part = (4, 2) if name == "distant" else (1, 1)
    recipients = options.recipients or (1_000 if options.quick else 20_000) // part[0]
    connections = options.connections or (20 if options.quick else 100) // part[1]
    return Size(recipients, connections, 1 if options.quick else options.rounds)


def main() -> int:
    """Run the scenarios; returns the exit code."""
    options = _parser().parse_args()
    said = [f"{machine()}", "Median of the rounds (least–greatest); ratios are taken within each round."]
    print("\n".join(said), flush=True)
    try:
        for name in options.scenarios or SCENARIOS:
            # smtp-sink gives up root's rights, and need not read what lies here
            with tempfile.TemporaryDirectory(prefix="batchmail-bench-") as folder:
                measured = SCENARIOS[name](Path(folder), size_of(name, options))
            said += ["", table(measured)]
            print(f"\n{said[-1]}", flush=True)
    except (BenchmarkError, BatchmailError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.save:
        RESULTS.write_text("# How fast: one run of `make bench`\n\n" + "\n".join(said) + "\n")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("scenarios", nargs="*", choices=[*SCENARIOS, []], metavar="|".join(SCENARIOS))
    parser.add_argument("--rounds", type=int, default=3, help="of ours and the reference in turn (3)")
    parser.add_argument("--recipients", type=int, help="of a batch (20,000; distant: 5,000)")
    parser.add_argument("--connections", type=int, help="to the relay (100; distant: 50)")
    parser.add_argument("--quick", action="store_true", help="one small round: does it run?")
    parser.add_argument("--save", action="store_true", help=f"write {RESULTS.name} beside this program")
    return parser


if __name__ == "__main__":
    sys.exit(main())
