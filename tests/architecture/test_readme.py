"""The README's commands exist, its links lead somewhere, and its targets are real."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from typer.main import get_command

from ledgerbus.cli import app

ROOT = Path(__file__).resolve().parent.parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
SHELL = "\n".join(re.findall(r"```sh\n(.*?)```", README, re.DOTALL))


@pytest.mark.parametrize("link", sorted(set(re.findall(r"\]\(([^)#]+)\)", README))))
def test_every_link_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


@pytest.mark.parametrize("target", re.findall(r"^make (\w+)", SHELL, re.MULTILINE))
def test_every_make_target_can_be_run(target: str) -> None:
    done = subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=False, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()


@pytest.mark.parametrize("line", re.findall(r"\.venv/bin/ledgerbus (.+)", SHELL))
def test_every_command_parses(line: str) -> None:
    words = line.partition("#")[0].replace("FILE", "README.md").split()
    command = get_command(app)
    # Only groups have commands; the condition has just asked for them.
    while words and words[0] in getattr(command, "commands", {}):
        command = command.commands[words.pop(0)]  # type: ignore[attr-defined]
    command.make_context("ledgerbus", words, resilient_parsing=False)


def test_make_lists_at_most_twelve_targets() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, check=True, capture_output=True).stdout
    targets = [line for line in listed.decode().splitlines() if line.startswith("  make ")]
    assert 1 <= len(targets) <= 12
