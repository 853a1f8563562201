"""The checker: judges a run from what it left behind, and imports nothing of what it judges.

It reads the five databases, the raw topics, the outside ledger's own log, the bank's files and the
client's journal, and says of each invariant: ok, fail, unknown, or not judged for lack of evidence.
"""

from checker.evidence import Evidence
from checker.judge import judge
from checker.verdict import Status, Verdict

__all__ = ["Evidence", "Status", "Verdict", "judge"]
