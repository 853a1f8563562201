"""`python -m checker EVIDENCE.json [--json]`: the verdict over a run, and an exit code.

0 nothing contradicts anything; 1 an invariant fails; 2 nothing could be judged; 3 unknown.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from typing import Final

from checker.evidence import Evidence
from checker.judge import judge
from checker.verdict import Status

EXITS: Final = {Status.OK: 0, Status.FAIL: 1, Status.NOT_JUDGED: 2, Status.UNKNOWN: 3}


def main() -> int:
    """Judge the evidence that the command line names."""
    parser = argparse.ArgumentParser(prog="checker", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("evidence", type=Path)
    parser.add_argument("--json", action="store_true", help="one JSON document")
    options = parser.parse_args()
    verdict = asyncio.run(judge(Evidence.read(options.evidence)))
    sys.stdout.buffer.write(verdict.json() if options.json else verdict.table().encode())
    sys.stdout.buffer.write(b"\n")
    return EXITS[verdict.status]


if __name__ == "__main__":
    sys.exit(main())
