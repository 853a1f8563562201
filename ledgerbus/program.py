"""How this command is called from here, so that whatever is printed to type next can be pasted."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Final

NAME: Final = "ledgerbus"


def command(text: str) -> str:
    """A command line that runs these words (`prove`, `claim show ID`) the way we were called."""
    return f"{called_as()} {text}"


def pasteable(text: str) -> str:
    """The text with every command that it names in backticks written the way we were called."""
    return text.replace(f"`{NAME} ", f"`{called_as()} ")


def called_as() -> str:
    """The command by its name where the shell finds it, else as the path or module it runs by."""
    called = Path(sys.argv[0])
    if called.name == NAME:
        if str(called) == NAME or shutil.which(NAME) == str(called):
            return NAME
        return shlex.quote(_short(called))
    if called.name == "__main__.py" and called.parent.name == NAME:
        return f"{shlex.quote(_short(Path(sys.executable)))} -m {NAME}"
    if shutil.which(NAME):
        return NAME
    return shlex.quote(_short(Path(sys.executable).with_name(NAME)))


def _short(path: Path) -> str:
    """A path from the current folder where it lies below it."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
