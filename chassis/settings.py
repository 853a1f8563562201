"""Settings of one service process, read from LEDGERBUS_* environment variables."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict


class Settings(BaseSettings):
    """Where the servers are, and the few knobs that deployments differ in."""

    model_config = SettingsConfigDict(env_prefix="LEDGERBUS_", extra="ignore")

    kafka_bootstrap_servers: str
    database_url: str
    http_host: str = "127.0.0.1"
    http_port: int = 8100
    replica: int = Field(default=0, ge=0, description="names the group member and the log lines")
    topic_prefix: str = Field(default="", description="sets environments on one broker apart")
    spans_dir: Path | None = Field(default=None, description="write spans as JSON lines here")
    log_level: str = "INFO"
    batch_records: int = Field(default=500, ge=1, description="records per poll and transaction")
    batch_wait_ms: int = Field(default=20, ge=1, description="how long a poll waits to fill up")
    session_timeout_ms: int = Field(
        default=15_000, ge=6_000, description="how long a vanished replica keeps its partitions"
    )
    leave_ms: int = Field(
        default=1_000, ge=0, description="how long to serve on, not ready, after a signal to end"
    )
    pool_size: int = Field(default=8, ge=3)
    invariants_every_s: int = Field(default=300, ge=1)
