"""The embedded stack: Apache Kafka and PostgreSQL on one machine, without Docker or root rights."""

from deploy.local.databases import drop_databases, provision_databases
from deploy.local.errors import StackError
from deploy.local.stack import Endpoints, ServerStatus, Stack
from deploy.local.topics import ensure_topics

__all__ = [
    "Endpoints",
    "ServerStatus",
    "Stack",
    "StackError",
    "drop_databases",
    "ensure_topics",
    "provision_databases",
]
