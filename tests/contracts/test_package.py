"""The contracts are a package of their own, for teams that want nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent

# Reads every example with nothing importable but the wheel, Python and what pydantic needs.
READS_AN_EVENT = """
import sys
allowed = {"contracts", "pydantic", "pydantic_core", "annotated_types", "typing_extensions",
           "typing_inspection"} | set(sys.stdlib_module_names)

class Refusing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in allowed and not name.startswith("_sysconfig"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Refusing())
sys.path.insert(0, sys.argv[1])
from contracts.codec import KINDS, read
from contracts.claims import ClaimSubmitted
import contracts, json, pathlib
assert sys.argv[1] in contracts.__file__, contracts.__file__
folder = pathlib.Path(contracts.__file__).parent / "examples"
for kind, cls in KINDS.items():
    example = json.loads((folder / f"{kind}.json").read_text(encoding="utf-8"))
    read(cls, json.dumps(example["body"]).encode())
print(len(KINDS))
"""


def test_the_wheel_reads_every_example_with_pydantic_alone(tmp_path: Path) -> None:
    source = tmp_path / "source"
    shutil.copytree(ROOT / "contracts", source, ignore=shutil.ignore_patterns("__pycache__"))
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--quiet"]
    subprocess.run([*build, "--wheel-dir", tmp_path, source], check=True, timeout=120)
    (wheel,) = tmp_path.glob("ledgerbus_contracts-*.whl")
    unpacked = tmp_path / "unpacked"
    shutil.unpack_archive(wheel, unpacked, "zip")
    done = subprocess.run(
        [sys.executable, "-I", "-c", READS_AN_EVENT, unpacked],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert int(done.stdout) >= 33
