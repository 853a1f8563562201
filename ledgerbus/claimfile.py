"""A claims file as the commands an outside system would send, one after the other.

What cannot be turned into a sound command is not dropped: the text of the file is put into the
field as it is, so that the chain refuses the claim with a code, and nobody has to miss it.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import orjson

from contracts.claims import SubmitClaim
from contracts.codec import Unreadable, read
from ledgerbus.claimrow import TEXT_MOST, Row, drafted
from ledgerbus.errors import CommandError, Exit

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

    from contracts.values import Money
    from ledgerbus.layout import Layout

KEY_DIGITS: Final = (
    16  # 64 bits of a digest: two of ten million rows share it once in 300,000 files.
)
REST: Final = "\x00"  # The cells beyond the header; no column has this name.
HEADER_SHOWN: Final = 400


@dataclass(frozen=True, slots=True)
class Fault:
    """Why the chain cannot even read a command: its code, in words, and where."""

    code: str
    detail: str
    pointer: str | None


@dataclass(frozen=True, slots=True)
class FileClaim:
    """One claim of a file: its rows, its body, and what the file says it adds up to."""

    rows: tuple[int, ...]
    source: str
    source_key: str
    body: bytes
    fault: Fault | None
    total: Money | None

    def command(self) -> SubmitClaim:
        """The command as its reader will see it; raises Unreadable where there is a fault."""
        return read(SubmitClaim, self.body)


@dataclass(slots=True)
class ClaimFile:
    """A file and its layout; iterate to get its claims in the file's order, as often as you like.

    `rows` and `position` (bytes) say how far the iteration is; with `keep_names`, `names` collects
    what the file calls its codes.
    """

    path: Path
    layout: Layout
    company: str = ""
    keep_names: bool = field(default=False, kw_only=True)
    names: dict[tuple[str, str], str] = field(default_factory=dict)
    rows: int = 0
    position: int = 0

    def __iter__(self) -> Iterator[FileClaim]:
        """Every claim of the file; each iteration gives the same claims with the same keys."""
        self.rows = self.position = 0
        seen: Counter[str] = Counter()
        for key, numbered in self._stories():
            source_key = key or _digest_key(self.layout, numbered[0][1], seen)
            yield self._claim(source_key, numbered)

    def _stories(self) -> Iterator[tuple[str, list[tuple[int, Row]]]]:
        key = self.layout.key
        if not self.layout.grouped or key is None:
            for number, row in self._rows():
                yield key.code(row) if key else "", [(number, row)]
            return
        stories: dict[str, list[tuple[int, Row]]] = {}
        for number, row in self._rows():
            stories.setdefault(key.code(row) or f"{REST}{number}", []).append((number, row))
        for story, members in stories.items():
            yield "" if story.startswith(REST) else story, members

    def _rows(self) -> Iterator[tuple[int, Row]]:
        try:
            with self.path.open("rb") as raw:
                yield from self._read(raw)
        except OSError as problem:
            raise CommandError(
                f"{self.path} cannot be read",
                why=problem.strerror or str(problem),
                fix="check the path and its permissions",
                code=Exit.NOT_FOUND,
            ) from problem
        except (UnicodeDecodeError, csv.Error) as problem:
            raise CommandError(
                f"{self.path.name} is not a CSV file in {self.layout.encoding}",
                why=f"{problem}, after {self.rows} rows",
                fix=f"save it in {self.layout.encoding}, or set `encoding` in the layout",
                code=Exit.INVALID,
            ) from problem

    def _read(self, raw: IO[bytes]) -> Iterator[tuple[int, Row]]:
        text = io.TextIOWrapper(raw, encoding=self.layout.encoding, newline="")
        reader = csv.reader(text, delimiter=self.layout.delimiter, strict=True)
        first = next(reader, None)
        if first is None:
            raise _empty(self.path, self.layout)
        header = [name.strip() for name in first]
        _check_header(header, self.layout, self.path)
        width = len(header)
        for cells in reader:
            if not any(cells):
                continue
            self.rows += 1
            self.position = raw.tell()
            trimmed = [cell.strip() for cell in cells]
            if len(trimmed) < width:
                trimmed += [""] * (width - len(trimmed))
            row = dict(zip(header, trimmed, strict=False))
            if any(trimmed[width:]):
                row[REST] = self.layout.delimiter.join(trimmed[width:])
            yield reader.line_num, row

    def _claim(self, source_key: str, numbered: list[tuple[int, Row]]) -> FileClaim:
        layout, rows = self.layout, [row for _, row in numbered]
        if self.keep_names:
            for row in rows:
                self._note_names(row)
        draft = drafted(layout, self.company or layout.company, source_key, rows)
        document, amount, doubts = draft.document, draft.total, draft.doubts
        if any(REST in row for row in rows):
            # No cell can be trusted to stand under its own column, so none is taken for a field.
            document = {name: document[name] for name in ("source", "source_key", "company")}
            document["cells"] = [list(row.values()) for row in rows]
            amount, doubts = None, ["too many cells"]
        body = orjson.dumps(document)
        fault = fault_of(body) if doubts else None
        numbers = tuple(number for number, _ in numbered)
        return FileClaim(numbers, layout.source, source_key, body, fault, amount)

    def _note_names(self, row: Row) -> None:
        for line in self.layout.lines:
            for kind, code, name in (
                ("category", line.category, line.category_name),
                ("cost_center", line.cost_center, line.cost_center_name),
            ):
                if name is not None:
                    self.names.setdefault((kind, code.code(row)), name.words(row, TEXT_MOST))


def fault_of(body: bytes) -> Fault | None:
    """Why the chain cannot read this command, or None if it can."""
    try:
        read(SubmitClaim, body)
    except Unreadable as problem:
        return Fault(problem.code, problem.detail, problem.pointer)
    return None


def _empty(path: Path, layout: Layout) -> CommandError:
    return CommandError(
        f"{path.name} holds no claims",
        why="the file is empty",
        fix=f"export it again; row 1 must name the columns of the layout '{layout.name}'",
        code=Exit.INVALID,
    )


def _check_header(header: list[str], layout: Layout, path: Path) -> None:
    missing = [column for column in layout.columns() if column not in header]
    twice = [name for name, count in Counter(header).items() if name and count > 1]
    if missing or twice:
        named = ", ".join(f"'{name}'" for name in missing)
        many, needed = ("columns", "each of them") if len(missing) > 1 else ("column", "it")
        what = f"has no {many} {named}" if missing else f"has two columns '{twice[0]}'"
        found = ", ".join(header)[:HEADER_SHOWN] or "nothing"
        raise CommandError(
            f"{path.name} {what}",
            why=f"the layout '{layout.name}' needs {needed} exactly once, and row 1 has: {found}",
            fix="use the layout that belongs to this file (--layout), or copy and adapt one",
            code=Exit.INVALID,
        )


def _digest_key(layout: Layout, row: Row, seen: Counter[str]) -> str:
    """A key from what the row says, and from its place among rows that say the same."""
    told = [row[name] for name in layout.identity or row]
    digest = hashlib.sha256("\x1f".join(told).encode()).hexdigest()[:KEY_DIGITS]
    seen[digest] += 1
    return f"row-{digest}-{seen[digest]}"
