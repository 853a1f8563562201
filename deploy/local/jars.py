"""Apache Kafka's own server jars: fetched once per user, used only when they are the pinned ones.

`kafka-4.3.1.sha256` lists every jar with its SHA-256 (`sha256sum -c` reads it too). The jars come
from Maven's repository through jgo and stay in the user's cache, so a second clone fetches nothing.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from deploy.local.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from jgo.maven import Artifact

KAFKA_VERSION = "4.3.1"
PINS = Path(__file__).with_name(f"kafka-{KAFKA_VERSION}.sha256")
ROOTS = (
    ("org.apache.kafka", "kafka_2.13", KAFKA_VERSION),
    # The broker speaks slf4j 1.7 and leaves the choice of a provider to whoever runs it.
    ("org.apache.logging.log4j", "log4j-slf4j-impl", "2.25.4"),
)
DOWNLOADS = 8  # At once; more gains nothing on an ordinary line.


def cache_dir() -> Path:
    """Where downloads live for this user; LEDGERBUS_CACHE says otherwise."""
    given = os.environ.get("LEDGERBUS_CACHE")
    return Path(given) if given else platformdirs.user_cache_path("ledgerbus")


def kafka_jars(cache: Path | None = None, pins: Path = PINS) -> list[Path]:
    """Every jar of the broker, verified; what the cache lacks is fetched first."""
    wanted = read_pins(pins)
    folder = (cache or cache_dir()) / f"kafka-{KAFKA_VERSION}"
    if any(not (folder / name).exists() for name in wanted):
        _fetch(wanted, folder)
    verify(folder, wanted)
    return [folder / name for name in wanted]


def read_pins(pins: Path = PINS) -> dict[str, str]:
    """The pinned SHA-256 of each jar, by file name."""
    pairs = (line.split(maxsplit=1) for line in pins.read_text(encoding="utf-8").splitlines())
    return {name: digest for digest, name in pairs}


def verify(folder: Path, wanted: Mapping[str, str]) -> None:
    """Refuse the folder when a jar in it is not the pinned one."""
    with ThreadPoolExecutor() as pool:
        digests = dict(
            zip(wanted, pool.map(lambda name: digest_of(folder / name), wanted), strict=True)
        )
    wrong = [name for name in wanted if digests[name] != wanted[name]]
    if wrong:
        raise StackError(
            f"{len(wrong)} Kafka jar(s) are not the pinned ones",
            why="; ".join(
                f"{n}: {digests[n][:16]}… instead of {wanted[n][:16]}…" for n in wrong[:3]
            ),
            fix=f"delete {folder} and start again; if it comes back, do not trust the download",
        )


def digest_of(jar: Path) -> str:
    """The SHA-256 of a file."""
    with jar.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _fetch(wanted: Mapping[str, str], folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    try:
        artifacts = resolve(folder.parent / "maven")
        offered = {artifact.filename: artifact for artifact in artifacts}
        if offered.keys() != wanted.keys():
            _refuse_list(set(offered), set(wanted))
        _download([offered[name] for name in wanted], folder)
    except (OSError, RuntimeError, ValueError) as fault:  # requests raises OSError, jgo the others
        if isinstance(fault, StackError):
            raise
        raise StackError(
            f"Apache Kafka {KAFKA_VERSION} could not be fetched",
            why=str(fault),
            fix="check the network (a proxy goes into HTTPS_PROXY), then start again",
        ) from fault


def resolve(repository: Path) -> list[Artifact]:
    """The jars the broker needs, as the published descriptions say today."""
    from jgo.maven import Dependency, MavenContext  # noqa: PLC0415 - only the first start needs it

    maven = MavenContext(repo_cache=repository, timeout=60)
    jars: dict[tuple[str, str], Artifact] = {}
    # One at a time: resolved together, the versions log4j manages would replace Kafka's own.
    for group, name, version in ROOTS:
        root = Dependency(maven.project(group, name).at_version(version).artifact())
        inputs, transitive = maven.resolver.resolve([root])
        needed = [each for each in transitive if each.scope in ("compile", "runtime")]
        for each in (*inputs, *needed):
            jars.setdefault((each.groupId, each.artifactId), each.artifact)
    return list(jars.values())


def _refuse_list(offered: set[str], wanted: set[str]) -> None:
    raise StackError(
        "Kafka's list of jars is not the pinned one",
        why=f"new: {sorted(offered - wanted)}, gone: {sorted(wanted - offered)}",
        fix=f"compare with {PINS.name}; pin the new list only after reading why it changed",
    )


def _download(artifacts: list[Artifact], folder: Path) -> None:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task(f"Apache Kafka {KAFKA_VERSION} jars", total=len(artifacts))
        with ThreadPoolExecutor(DOWNLOADS) as pool:
            for artifact, path in zip(artifacts, pool.map(_path_of, artifacts), strict=True):
                _keep(path, folder / artifact.filename)
                progress.advance(task)


def _path_of(artifact: Artifact) -> Path:
    return Path(artifact.resolve())


def _keep(fetched: Path, kept: Path) -> None:
    # A rename is whole or not at all, so an interrupted start leaves no half jar behind.
    half = kept.with_suffix(f".{os.getpid()}.part")
    shutil.copyfile(fetched, half)
    half.replace(kept)
