"""One Apache Kafka node, broker and controller in one, on this machine.

The folder is formatted once for a cluster id; afterwards the node starts from whatever a clean stop
or a kill left behind. Ports may change between starts: the voter list is part of the configuration.
"""

from __future__ import annotations

import asyncio
import base64
import os
import secrets
import signal
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from deploy.local import jars, ports, processes
from deploy.local.errors import StackError
from deploy.local.java import find_java

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from deploy.local.java import Java
    from deploy.local.state import KafkaState

PORT, CONTROLLER_PORT = 19092, 29092
START_S = 120  # Log recovery after a kill takes most of it on a slow disk.
STOP_S = 30
ATTEMPTS = 3  # A port can be lost to somebody else between choosing and binding it.

HEAP = ("-Xms256m", "-Xmx512m")
JVM = (
    "-server",
    "-XX:+UseSerialGC",  # On two cores: less memory and no worse latency than G1 at this heap.
    "-XX:+ExitOnOutOfMemoryError",
    "-XX:-UsePerfData",
    "-Djava.awt.headless=true",
)

# The short session: after a kill the controller refuses the node until the old session is over.
PROPERTIES = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}{bound}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT{plain}
inter.broker.listener.name=PLAINTEXT
log.dirs={logs}
auto.create.topics.enable=false
group.initial.rebalance.delay.ms=0
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
num.network.threads=2
num.io.threads=4
broker.heartbeat.interval.ms=1000
broker.session.timeout.ms=6000
"""

LOG4J = """\
status = error
appender.console.type = Console
appender.console.name = console
appender.console.layout.type = PatternLayout
appender.console.layout.pattern = %d{ISO8601} %-5p %c{1}: %m%n
rootLogger.level = warn
rootLogger.appenderRef.console.ref = console
logger.server.name = kafka.server
logger.server.level = info
"""


@dataclass(frozen=True, slots=True)
class Door:
    """One more listener: clients that come through it are told to come back to another port.

    That port belongs to whoever stands between them and the node.
    """

    name: str
    port: int
    advertised: int


def properties(port: int, controller_port: int, logs: str, doors: Sequence[Door] = ()) -> str:
    """The node's configuration."""
    text = PROPERTIES.format(
        port=port,
        controller_port=controller_port,
        logs=logs,
        bound="".join(f",{door.name}://{ports.HOST}:{door.port}" for door in doors),
        advertised="".join(f",{door.name}://{ports.HOST}:{door.advertised}" for door in doors),
        plain="".join(f",{door.name}:PLAINTEXT" for door in doors),
    )
    # Each door has threads of its own; one is plenty for a single client.
    return text + "".join(
        f"listener.name.{door.name.lower()}.num.network.threads=1\n" for door in doors
    )


class Broker:
    """The Kafka node of one state folder."""

    def __init__(self, root: Path, doors: Sequence[Door] = ()) -> None:
        """Speak for the node whose files lie under `root`; it also listens at these doors."""
        self.doors = doors
        self.folder = root / "kafka"
        self.log = root / "logs" / "kafka.log"

    async def start(self, state: KafkaState, remember: Callable[[], None]) -> None:
        """Have the node run and listen; what identifies it goes into the state.

        `remember` is called as soon as there is a process: who gives up waiting can still end it.
        """
        state.source = "embedded"
        if processes.find(state.process):
            state.address = f"{ports.HOST}:{state.port}"
            return
        jar_files = await asyncio.to_thread(jars.kafka_jars)
        command = self._command(find_java(), jar_files)
        self.folder.mkdir(parents=True, exist_ok=True)
        (self.folder / "log4j2.properties").write_text(LOG4J, encoding="utf-8")
        for attempt in range(1, ATTEMPTS + 1):
            self._configure(state)
            await asyncio.to_thread(self._format, command, state)
            if await self._launch(command, state, remember):
                return
            if attempt == ATTEMPTS or not self._lost_port(state):
                raise self.ended()

    def stop(self, state: KafkaState) -> bool:
        """End the node; whether it ended by itself in time."""
        process = processes.find(state.process)
        state.process = None
        return process is None or processes.stop(process, sent=signal.SIGTERM, within_s=STOP_S)

    def _configure(self, state: KafkaState) -> None:
        state.port = ports.choose_port(state.port or PORT)
        state.controller_port = ports.choose_port(
            state.controller_port or CONTROLLER_PORT, taken={state.port}
        )
        state.address = f"{ports.HOST}:{state.port}"
        text = properties(state.port, state.controller_port, str(self.folder / "logs"), self.doors)
        (self.folder / "server.properties").write_text(text, encoding="utf-8")

    def _command(self, java: Java, jar_files: list[Path]) -> list[str]:
        config = f"-Dlog4j2.configurationFile={self.folder / 'log4j2.properties'}"
        classpath = os.pathsep.join(str(jar) for jar in jar_files)
        return [str(java.path), *HEAP, *JVM, *java.quiet(), config, "-cp", classpath]

    def _format(self, command: list[str], state: KafkaState) -> None:
        if (self.folder / "logs" / "meta.properties").exists():
            return
        state.cluster_id = state.cluster_id or cluster_id()
        config = str(self.folder / "server.properties")
        tool = ["kafka.tools.StorageTool", "format", "-t", state.cluster_id, "-c", config]
        said = subprocess.run([*command, *tool], capture_output=True, text=True, check=False)
        if said.returncode != 0:
            raise StackError(
                "Kafka's folder could not be formatted",
                why=(said.stderr or said.stdout).strip()[-600:],
                fix=f"see that {self.folder} can be written and the disk has room",
            )

    async def _launch(
        self, command: list[str], state: KafkaState, remember: Callable[[], None]
    ) -> bool:
        """Whether the node came to listen; false when it ended instead."""
        run = [*command, "kafka.Kafka", str(self.folder / "server.properties")]
        # A stray KAFKA_ or JAVA_ word of our environment could bend the broker.
        env = {name: os.environ[name] for name in ("PATH", "LANG", "TMPDIR") if name in os.environ}
        state.process = processes.spawn(run, log=self.log, env=env, cwd=self.folder)
        remember()
        try:
            async with asyncio.timeout(START_S):
                while not processes.listens(state.process, state.port):
                    if processes.find(state.process) is None:
                        return False
                    await asyncio.sleep(0.1)
        except TimeoutError:
            raise StackError(
                f"Kafka did not listen on {state.address} within {START_S} s",
                why="it runs, but is not ready",
                fix="read its log; on a loaded machine start again, it continues where it is",
                log=self.log,
            ) from None
        return True

    def _lost_port(self, state: KafkaState) -> bool:
        return not all(ports.is_free(p) for p in (state.port, state.controller_port) if p)

    def ended(self) -> StackError:
        """What to say when the node is gone though it should run."""
        return StackError(
            "Kafka ended",
            why="its process is gone",
            fix="the log says why; a full disk and too little memory are the usual reasons",
            log=self.log,
        )


def cluster_id() -> str:
    """A fresh identity for a broker's folder."""
    # Kafka spells a cluster id as 16 bytes in base64; a leading dash would read as an option.
    return "L" + base64.urlsafe_b64encode(secrets.token_bytes(16)).decode()[1:22]
