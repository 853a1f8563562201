"""From evidence to verdict: read everything once, then let each clause judge it."""

from __future__ import annotations

import asyncio

from checker import (  # noqa: F401 - importing a family declares its clauses
    bank,
    books,
    budgets,
    causes,
    client,
    delivery,
    kept,
    liveness,
    money,
)
from checker.clauses import CLAUSES
from checker.evidence import Evidence, bank_digests, json_lines
from checker.plan import TOPICS
from checker.records import read_commits, read_topics
from checker.tables import read_tables
from checker.verdict import Verdict
from checker.world import World


async def judge(evidence: Evidence) -> Verdict:
    """The verdict over a run that has come to rest."""
    return judge_world(await read_world(evidence), evidence)


def judge_world(world: World, evidence: Evidence | None = None) -> Verdict:
    """The verdict over what was read."""
    found = [declared.over(world) for declared in CLAUSES]
    found.sort(key=lambda clause: int(clause.number[1:]))
    seed, commit = (evidence.seed, evidence.commit) if evidence else (None, "")
    return Verdict(seed, commit, tuple(found), counts(world))


def counts(world: World) -> dict[str, int]:
    """What there was to judge, and what makes a run worth judging."""
    records = world.records or ()
    repeated = [record for record in records if record.id]
    return {
        "records": len(records),
        "events": len(world.events),
        "published again": len(repeated) - len({(r.topic, r.id) for r in repeated}),
        "claims": len(world.stories),
        "dead letters": sum(len(t.get("dead_letters", ())) for t in world.tables.values()),
        "ledger calls": len(world.ledger or ()),
        "bank files": len(world.bank or ()),
        "journal lines": len(world.journal or ()),
    }


async def read_world(evidence: Evidence) -> World:
    """Everything the evidence names, in memory."""
    tables = await asyncio.gather(
        *(read_tables(name, url, evidence.topic_prefix) for name, url in evidence.databases.items())
    )
    world = World(
        tables=dict(zip(evidence.databases, tables, strict=True)),
        ledger=json_lines(evidence.ledger_log),
        bank=bank_digests(evidence.bank_files),
        journal=json_lines(evidence.journal),
    )
    if evidence.kafka is not None:
        prefix = evidence.topic_prefix
        world.records, world.ends = await read_topics(evidence.kafka, prefix, TOPICS)
        world.commits = await read_commits(evidence.kafka, prefix, evidence.databases)
    return world
