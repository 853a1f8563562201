"""Every metric of the machinery, in one table; labels come from closed lists only."""

from __future__ import annotations

from typing import Final

from prometheus_client import Counter, Gauge, Histogram

_SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 15, 60, 300, 3600, 86400)

HANDLED = Counter("ledgerbus_events_handled", "Events handled, by kind.", ["kind"])
EMITTED = Counter("ledgerbus_events_emitted", "Events said, by kind.", ["kind"])
SKIPPED = Counter("ledgerbus_events_skipped", "Records of kinds nobody here listens to.")
DUPLICATES = Counter("ledgerbus_inbox_duplicates", "Redelivered events dropped by the inbox.")
DEAD_LETTERS = Counter("ledgerbus_dead_letters", "Records that became dead letters.", ["code"])
DEAD_LETTERS_OPEN = Gauge("ledgerbus_dead_letters_open", "Dead letters to settle.", ["code"])
DEAD_LETTERS_AGE = Gauge(
    "ledgerbus_dead_letters_oldest_age_seconds", "Age of the oldest dead letter to settle."
)
REPAIRS = Counter(
    "ledgerbus_dead_letter_repairs", "Dead letters people acted on.", ["action", "outcome"]
)
PARKED = Counter("ledgerbus_events_parked", "Events parked behind a dead letter of their key.")
PARKED_NOW = Gauge("ledgerbus_parked_keys", "Keys with an open dead letter.")
PARKED_EVENTS = Gauge("ledgerbus_parked_events", "Events parked behind dead letters now.")
BATCH_RECORDS = Histogram(
    "ledgerbus_batch_records", "Records per transaction.", buckets=(1, 5, 20, 50, 100, 200, 500)
)
BATCH_SECONDS = Histogram(
    "ledgerbus_batch_seconds", "Duration of a batch, poll to commit.", buckets=_SECONDS
)
EVENT_AGE = Histogram(
    "ledgerbus_event_age_seconds",
    "Age of an event when it was handled: the lag in seconds.",
    ["topic"],
    buckets=_SECONDS,
)
RETRIES = Counter("ledgerbus_batch_retries", "Batches tried again after an outage.")
FENCED = Counter("ledgerbus_batches_fenced", "Batches rolled back by the offset fence.")
COMMITS_LOST = Counter("ledgerbus_kafka_commits_lost", "Offset commits refused by a rebalance.")
REBALANCES = Counter("ledgerbus_rebalances", "Times partitions were assigned to this process.")
HALTED = Gauge("ledgerbus_consumer_halted", "1 while the breaker holds the consumer: page someone.")
RELAYED = Counter("ledgerbus_outbox_relayed", "Outbox rows published and deleted.")
RELAY_FAILURES = Counter("ledgerbus_relay_failures", "Relay failures that were no outage.")
OUTBOX_ROWS = Gauge("ledgerbus_outbox_rows", "Rows waiting in the outbox.")
OUTBOX_AGE = Gauge("ledgerbus_outbox_oldest_age_seconds", "Age of the oldest outbox row.")
VIOLATIONS = Gauge("ledgerbus_invariant_violations", "Rows an invariant returned.", ["invariant"])
JOB_RUNS = Counter("ledgerbus_job_runs", "Runs of jobs.", ["job", "outcome"])
HTTP_REQUESTS = Counter("ledgerbus_http_requests", "HTTP answers.", ["method", "route", "status"])
BUILD = Gauge("ledgerbus_build_info", "Always 1; the labels say what runs.", ["service", "version"])
