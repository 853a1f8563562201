"""The same two servers from container images, where a Docker engine answers (`STACK=containers`).

A stopped container keeps its files and is started again; only `remove` deletes them.
"""

from __future__ import annotations

import asyncio
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

import docker
from docker.errors import DockerException, NotFound

from deploy.local import broker, ports, postgres
from deploy.local.errors import StackError
from deploy.local.jars import KAFKA_VERSION

if TYPE_CHECKING:
    from collections.abc import Iterator

    from deploy.local.state import ServerState

STOP_S = 30
OF_THE_IMAGE = ("listen_addresses", "unix_socket_directories")  # What the image knows better.
FIX = "start Docker, or leave STACK unset: the embedded servers need no Docker"


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a container runs, and the port it listens on inside."""

    image: str
    port: int
    variables: dict[str, str]
    command: list[str] = field(default_factory=list)


class Container:
    """One server in a container of its own, answering on this machine only."""

    def __init__(self, state: ServerState) -> None:
        """Speak for the container that the state remembers, if it does."""
        self.state = state

    async def start_kafka(self) -> None:
        """Apache Kafka's own image, set up like the embedded broker."""
        port = self._port(broker.PORT)
        await asyncio.to_thread(self._start, kafka_recipe(port), port)

    async def start_postgres(self, password: str) -> None:
        """PostgreSQL's image with the settings of the embedded server."""
        port = self._port(postgres.PORT)
        await asyncio.to_thread(self._start, postgres_recipe(password), port)

    def stop(self) -> bool:
        """Stop the container, if there is one; its files stay."""
        if self.state.container:
            with engine() as client:
                if standing := _find(client, self.state.container):
                    standing.stop(timeout=STOP_S)
        return True

    def remove(self) -> None:
        """Delete the container with its files."""
        if self.state.container:
            with engine() as client:
                if standing := _find(client, self.state.container):
                    standing.remove(force=True, v=True)
            self.state.container = None

    def _port(self, wanted: int) -> int:
        if self.state.container and self.state.port:
            return self.state.port  # Bound for the container's whole life.
        return ports.choose_port(self.state.port or wanted)

    def _start(self, recipe: Recipe, port: int) -> None:
        with engine() as client:
            standing = _find(client, self.state.container)
            if standing:
                standing.start()  # Does nothing to one that runs.
        if not standing:
            self.state.container = run(recipe, port)
        self.state.source, self.state.port = "containers", port
        self.state.address = f"{ports.HOST}:{port}"


def kafka_recipe(port: int) -> Recipe:
    """The same port inside and outside: the broker calls itself by the address it advertises."""
    text = broker.properties(port, port + 1, "/var/lib/kafka/data")
    lines = (line.partition("=") for line in text.splitlines())
    variables = {"KAFKA_" + name.replace(".", "_").upper(): value for name, _, value in lines}
    listeners = f"PLAINTEXT://0.0.0.0:{port},CONTROLLER://{ports.HOST}:{port + 1}"
    variables |= {"KAFKA_LISTENERS": listeners, "CLUSTER_ID": broker.cluster_id()}
    return Recipe(f"apache/kafka:{KAFKA_VERSION}", port, variables)


def postgres_recipe(password: str) -> Recipe:
    """The image takes the administrator's password at its first start and keeps it."""
    kept = {name: value for name, value in postgres.SETTINGS.items() if name not in OF_THE_IMAGE}
    command = ["postgres", *(word for name in kept for word in ("-c", f"{name}={kept[name]}"))]
    return Recipe("postgres:18", 5432, {"POSTGRES_PASSWORD": password}, command)


def run(recipe: Recipe, port: int) -> str:
    """A new container for the recipe, reachable at the port of this machine; answers its id."""
    from testcontainers.core.config import testcontainers_config  # noqa: PLC0415 - it asks Docker
    from testcontainers.core.container import DockerContainer  # noqa: PLC0415 - as above

    testcontainers_config.ryuk_disabled = True  # It would end them together with this command.
    container = DockerContainer(recipe.image).with_envs(**recipe.variables)
    if recipe.command:
        container.with_command(recipe.command)
    # The engine takes an address beside the port, which the annotation does not say.
    ours = {f"{recipe.port}/tcp": (ports.HOST, port)}
    container.ports.update(cast("dict[str, int | None]", ours))
    try:
        return container.start().get_container_id()
    except DockerException as fault:
        raise StackError(
            f"The container {recipe.image} could not be started", why=str(fault), fix=FIX
        ) from fault


@contextmanager
def engine() -> Iterator[Any]:
    """A Docker engine that answers; without one the error says what to do instead."""
    try:
        client = docker.from_env()
        client.ping()
    except DockerException as fault:
        raise StackError("No Docker engine answers", why=str(fault), fix=FIX) from fault
    try:
        yield client
    finally:
        client.close()


def _find(client: Any, container: str | None) -> Any:
    try:
        return client.containers.get(container) if container else None
    except NotFound:
        return None
