"""I8: a bank line is matched at most once, its sums fit, and a statement is applied once."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING, Any

from checker.clauses import clause

if TYPE_CHECKING:
    from checker.verdict import Clause
    from checker.world import World


@clause("I8", "a line is matched once", "reconcile")
def lines_matched_once(world: World, found: Clause) -> None:
    """A bank line has at most one standing match, and exactly one if it is matched."""
    standing: Counter[str] = Counter(
        row["line_id"] for row in world.rows("reconcile", "matches") if row["undone_at"] is None
    )
    for line in world.rows("reconcile", "lines"):
        found.saw()
        count = standing.pop(line["line_id"], 0)
        if count != (line["state"] == "matched"):
            found.broken(line["line_id"], f"{line['state']}, with {count} standing matches")
    for line_id in standing:
        found.broken(line_id, "matched, and on no statement")


@clause("I8", "sums fit", "reconcile")
def sums_fit(world: World, found: Clause) -> None:
    """Shares and differences are the line to the cent, and an item is never paid beyond itself."""
    standing = {r["match_id"]: r for r in world.rows("reconcile", "matches") if not r["undone_at"]}
    of_line: Counter[str] = Counter()
    of_item: Counter[str] = Counter()
    for share in world.rows("reconcile", "allocations"):
        if share["match_id"] in standing:
            of_line[standing[share["match_id"]]["line_id"]] += share["amount_minor"]
            of_item[share["entry_id"]] += share["amount_minor"]
    for part in world.rows("reconcile", "differences"):
        if part["match_id"] in standing:
            of_line[standing[part["match_id"]]["line_id"]] += part["amount_minor"]
    for line in world.rows("reconcile", "lines"):
        found.saw()
        due = -line["amount_minor"] if line["state"] == "matched" else 0
        if of_line[line["line_id"]] != due:
            found.broken(line["line_id"], f"shares {of_line[line['line_id']]}, the line pays {due}")
    for item in world.rows("reconcile", "items"):
        found.saw()
        paid, total = of_item[item["entry_id"]], item["total_minor"]
        if paid != item["allocated_minor"] or not min(total, 0) <= paid <= max(total, 0):
            detail = f"shares {paid}, allocated {item['allocated_minor']}, total {total}"
            found.broken(item["entry_id"], detail)


@clause("I8", "a statement closes", "reconcile")
def statements_close(world: World, found: Clause) -> None:
    """Opening + lines = closing, and a statement that stands has all the lines it announces."""
    sums: Counter[str] = Counter()
    kept: Counter[str] = Counter()
    for line in world.rows("reconcile", "lines"):
        sums[line["statement_id"]] += line["amount_minor"]
        kept[line["statement_id"]] += 1
    for row in world.rows("reconcile", "statements"):
        found.saw()
        subject = row["statement_id"]
        if row["state"] == "proven" and (
            row["opening_minor"] + row["sum_minor"] != row["closing_minor"]
        ):
            found.broken(subject, "opening and lines do not lead to closing")
        due = 0 if row["state"] == "quarantined" else row["line_count"] - row["known_count"]
        if kept[subject] != due:
            found.broken(subject, f"{kept[subject]} lines kept of {due}")
        if due and not row["known_count"] and sums[subject] != row["sum_minor"]:
            found.broken(subject, f"lines add up to {sums[subject]}, said {row['sum_minor']}")


@clause("I8", "a statement is applied once", "reconcile")
def applied_once(world: World, found: Clause) -> None:
    """No statement of an account stands twice."""
    standing: defaultdict[Any, int] = defaultdict(int)
    for row in world.rows("reconcile", "statements"):
        if row["state"] != "quarantined":
            standing[row["account"], row["reference"], row["closed_on"]] += 1
    for key, count in standing.items():
        found.saw()
        if count > 1:
            found.broken("/".join(map(str, key)), f"stands {count} times")


@clause("I8", "every file is kept", "reconcile", "bank", "journal")
def files_are_kept(world: World, found: Clause) -> None:
    """Every statement file that was delivered and taken is kept byte for byte, once."""
    kept = Counter(bytes(row["digest"]) for row in world.rows("reconcile", "files"))
    for digest, path in (world.bank or {}).items():
        found.saw()
        if kept[digest] != 1:
            found.broken(path, f"kept {kept[digest]} times")


@clause("I8", "a line is told matched once", "topics")
def told_once(world: World, found: Clause) -> None:
    """Of one bank line no more is told as paid than the line carries, less what was undone."""
    paid: Counter[str] = Counter()
    amounts: dict[str, int] = {}
    lines: dict[str, str] = {}
    for event in world.of("reconcile.payment-matched.v1"):
        found.saw()
        line = event.body["bank_line"]
        lines[event.body["match_id"]] = line["line_id"]
        amounts[line["line_id"]] = abs(_minor(line["amount"]))
        paid[line["line_id"]] += _minor(event.body["paid"])
    for event in world.of("reconcile.payment-unmatched.v1"):
        paid[lines.get(event.body["match_id"], "")] -= _minor(event.body["released"])
    for line_id, amount in amounts.items():
        if abs(paid[line_id]) > amount:
            found.broken(line_id, f"{paid[line_id]} told as paid by a line of {amount}")


def _minor(amount: Any) -> int:
    return int(str(amount["amount"]).replace(".", ""))
