"""`python -m bench`: claims a second, latency and memory of the real system on this machine.

Everything runs under `.local/bench`: Kafka, PostgreSQL and the five services, durable settings on.
The floor runs beside it in the same run: as many Kafka records and committed rows per claim as
the chain needs, without any logic. Compare figures of one run only; machines differ and drift.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path

from bench.chain import measure_chain
from bench.floor import measure_floor
from ledgerbus.stack import bring_up, take_down

ROOT = Path(".local/bench")


async def main() -> None:
    """Measure and print; with --json, one document on standard output."""
    options = argparse.ArgumentParser(prog="python -m bench")
    options.add_argument("--claims", type=int, default=10_000)
    options.add_argument("--rate", type=int, default=50, help="claims a second for the latency")
    options.add_argument("--seconds", type=int, default=20, help="how long the latency is measured")
    options.add_argument("--json", action="store_true")
    chosen = options.parse_args()
    where = await bring_up(ROOT)
    try:
        figures = await measure_chain(where, ROOT, chosen.claims, chosen.rate, chosen.seconds)
    finally:
        await take_down(ROOT)
    figures["floor"] = await measure_floor(ROOT, chosen.claims)
    figures["of_the_floor"] = round(
        figures["chain"]["claims_per_s"] / figures["floor"]["claims_per_s"], 3
    )
    if chosen.json:
        json.dump(figures, sys.stdout, indent=2)
        return
    for name, group in figures.items():
        print(name, json.dumps(group, ensure_ascii=False))


if __name__ == "__main__":
    asyncio.run(main())
