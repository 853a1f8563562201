from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import pytest

from ledgerbus.conservation import prove
from ledgerbus.demo.run import held_claims, waiting_lines
from ledgerbus.program import command, pasteable
from ledgerbus.prove import Proof, verdict
from ledgerbus.reading import Reading

if TYPE_CHECKING:
    from pathlib import Path

ASKED: dict[str, Any] = {"checked": ["one"], "violations": []}
SILENT = {"why": "connection refused"}


def proof_of(asked: dict[str, Any]) -> Proof:
    reading = Reading()
    complete = all("why" not in answer for answer in asked.values())
    return Proof(reading, prove(reading.stories, complete=complete), asked)


def test_money_is_conserved_when_every_service_was_asked() -> None:
    assert "Money is conserved." in verdict(proof_of({"budget": ASKED, "claims": ASKED}), None)


def test_nothing_is_proven_while_a_service_was_not_asked() -> None:
    told = verdict(proof_of({"budget": SILENT, "claims": ASKED}), None)
    assert "conserved" not in told
    assert told.startswith("[yellow]Not proven:[/] budget was not asked. Run `")
    assert told.endswith("up`, then prove again.")


def test_several_services_that_were_not_asked_are_all_named() -> None:
    told = verdict(proof_of({"posting": SILENT, "budget": SILENT, "claims": ASKED}), None)
    assert "budget and posting were not asked." in told


def test_a_violation_fails_the_proof_even_if_a_service_was_not_asked() -> None:
    found = {"invariant": "sum", "subject": "B-1", "detail": "differs"}
    broken = ASKED | {"violations": [found]}
    assert "The proof fails" in verdict(proof_of({"budget": broken, "claims": SILENT}), None)


def place(folder: Path, name: str) -> Path:
    folder.mkdir(parents=True)
    program = folder / name
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    return program


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "/nowhere")
    return tmp_path


def test_a_program_of_this_folder_is_called_by_its_path(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = place(here / ".venv" / "bin", "ledgerbus")
    for called in (str(program), ".venv/bin/ledgerbus"):
        monkeypatch.setattr(sys, "argv", [called, "prove"])
        assert command("claim show T-1") == ".venv/bin/ledgerbus claim show T-1"


def test_a_program_that_the_shell_finds_is_called_by_its_name(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = place(here / "bin", "ledgerbus")
    monkeypatch.setenv("PATH", str(program.parent))
    monkeypatch.setattr(sys, "argv", [str(program), "prove"])
    assert command("prove") == "ledgerbus prove"


def test_a_module_is_called_through_its_python(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = here / "an env" / "bin" / "python"
    monkeypatch.setattr(sys, "executable", str(python))
    monkeypatch.setattr(sys, "argv", [str(here / "ledgerbus" / "__main__.py"), "prove"])
    assert command("prove") == "'an env/bin/python' -m ledgerbus prove"


def test_commands_named_in_a_message_are_written_the_way_we_were_called(
    here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", [str(place(here / ".venv" / "bin", "ledgerbus")), "prove"])
    told = pasteable("see `ledgerbus status`; `ledgerbus up` starts what ledgerbus needs")
    assert told == (
        "see `.venv/bin/ledgerbus status`; `.venv/bin/ledgerbus up` starts what ledgerbus needs"
    )


def test_claims_that_are_held_name_what_they_lack_and_the_list() -> None:
    cause = {
        "code": "ACCOUNT_MAPPING_MISSING",
        "missing": "expense:donation",
        "claims": 3,
        "total": {"amount": "2773.23", "currency": "CNY"},
    }
    told = held_claims(cause, "http://127.0.0.1:8004")
    assert told.startswith("3 claims over 2773.23 CNY held at posting: ACCOUNT_MAPPING_MISSING ")
    assert "expense:donation" in told
    assert told.endswith("http://127.0.0.1:8004/v1/holds")


def test_lines_that_wait_for_a_person_name_the_list_and_the_clerk() -> None:
    told = waiting_lines(7, "http://127.0.0.1:8005")
    assert told.startswith("7 bank lines wait for a person: unclear, so not guessed.")
    assert "http://127.0.0.1:8005/v1/exceptions?state=open\n" in told
    assert f"`{command('demo clerk')}`" in told
