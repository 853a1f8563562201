"""The style as a test: what is banned, who may say what, how large things may grow."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
PACKAGES = ("contracts", "chassis", "services", "ledgerbus", "deploy", "checker", "chaos")
SERVICES = sorted(path.parent.name for path in (ROOT / "services").glob("*/__main__.py"))
NOUNS = {
    "approval": {"policy", "rules"},
    "budget": {"matching", "rules"},
    "claims": {"policy"},
    "posting": {"erp", "policy", "rules"},
    "reconcile": {"matching", "statements"},
}
USUAL = {
    "README.md", "__init__.py", "__main__.py", "domain.py", "store.py", "store", "handlers.py",
    "api.py", "jobs.py", "invariants.sql", "schema.sql", "migrations",
}  # fmt: skip

BANNED = {
    r"\bfloat\(": "use Money or Decimal",
    r"\bdatetime\.now\(": "pass a clock: tx.now",
    r"\buuid4\(": "pass an id: tx.new_id()",
    r"SELECT \*(?! FROM unnest)": "name the columns",
    r"\bFIX" + "ME\b": "fix it",
    r"\bTO" + "DO\b": "do it",
    r"\bmo" + "ck\b": "use a real double",
    r"(?<![.\w])print\(": "log, or write through rich in the command line",
}
EXEMPT: dict[tuple[str, str], str] = {}
BANNED_WORDS = {"manager", "helper", "processor", "base", "abstract", "impl", "util", "common"}
ALLOWED_NAMES = {"manager"}  # An employee's manager: the trade's own word, in fields and rules.


def sources(*packages: str) -> list[Path]:
    return [path for package in packages for path in sorted((ROOT / package).rglob("*.py"))]


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", sources(*PACKAGES), ids=name_of)
def test_no_banned_text(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for pattern, cure in BANNED.items():
        if (name_of(path), pattern) in EXEMPT or (
            path.parts[-2] in {"ledgerbus", "local", "demo"} and "datetime" in pattern
        ):
            continue
        found = re.search(pattern, text)
        assert not found, f"{name_of(path)}: {pattern}: {cure}"


@pytest.mark.parametrize("path", sources(*PACKAGES), ids=name_of)
def test_sizes_and_docstrings(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    tree = ast.parse(text)
    assert text.count("\n") <= 400, f"{name_of(path)} has more than 400 lines; split it by noun"
    assert ast.get_docstring(tree), f"{name_of(path)} does not say what it is for"
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            assert lines <= 50, f"{name_of(path)}:{node.lineno} {node.name} has {lines} lines"


def test_functions_are_small_in_the_middle() -> None:
    lengths = [
        (node.end_lineno or node.lineno) - node.lineno + 1
        for path in sources(*PACKAGES)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    assert median(lengths) <= 12


@pytest.mark.parametrize("path", sources(*PACKAGES), ids=name_of)
def test_names_come_from_the_trade(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            words = {word.lower() for word in re.findall(r"[A-Z]?[a-z]+", node.name)}
            bad = words & BANNED_WORDS - ALLOWED_NAMES
            assert not bad, f"{name_of(path)}:{node.lineno} {node.name}: {bad} says nothing"


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_has_the_usual_files(service: str) -> None:
    nouns = NOUNS.get(service, set())
    allowed = USUAL | nouns | {f"{noun}.py" for noun in nouns}
    tracked = subprocess.run(
        ["git", "ls-files", f"services/{service}"], cwd=ROOT, check=True, capture_output=True
    ).stdout.decode()
    found = {Path(line).parts[2] for line in tracked.splitlines()}
    assert found <= allowed, f"services/{service}: {found - allowed}"
    needed = {"README.md", "__main__.py", "domain.py", "handlers.py", "invariants.sql"}
    assert needed <= found
    assert found & {"store.py", "store"}, "the only SQL stands in the store"


def test_the_chassis_never_names_a_service() -> None:
    words = re.compile(rf"\b({'|'.join(SERVICES)})\b")
    for path in sources("chassis"):
        lines = path.read_text(encoding="utf-8").splitlines()
        code = "\n".join(line for line in lines if "services." not in line)
        assert not words.search(code), name_of(path)


def test_only_the_chassis_commits_and_catches_everything() -> None:
    for path in sources("services", "contracts", "ledgerbus", "deploy", "chaos"):
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"\.commit\(", text), name_of(path)
        assert not re.search(r"except (Base)?Exception\b", text), name_of(path)


def test_sql_stands_only_in_stores() -> None:
    statement = re.compile(r"\b(SELECT|INSERT INTO|UPDATE|DELETE FROM)\s+[a-z\"(*$]")
    for path in sources("services"):
        if path.name != "store.py" and "store" not in path.parts:
            assert not statement.search(path.read_text(encoding="utf-8")), name_of(path)


def test_migrations_open_with_their_reason_and_only_go_forward() -> None:
    for path in sorted(ROOT.glob("*/migrations/*.sql")) + sorted(ROOT.glob("*/*/migrations/*.sql")):
        text = path.read_text(encoding="utf-8")
        assert text.startswith("-- why: "), name_of(path)
        assert text.rstrip().endswith("-- migrate: rollback"), f"{name_of(path)} goes backward"


def test_tests_use_no_private_names() -> None:
    for path in sorted((ROOT / "tests").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(PACKAGES):
                private = [alias.name for alias in node.names if alias.name.startswith("_")]
                assert not private, f"{name_of(path)} imports {private}"


def test_nothing_names_a_registry_or_this_machine() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, check=True, capture_output=True
    ).stdout.decode()
    hosts = re.compile(
        r"pypi\.(?:org|python)|files\.python" + r"hosted|repo1?\.maven|registry\.npm" + r"js"
    )
    for line in tracked.splitlines():
        path = ROOT / line
        if path.suffix in {".png", ".jar"} or not path.is_file():
            continue
        assert not hosts.search(path.read_text(encoding="utf-8", errors="replace")), line
