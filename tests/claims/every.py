"""All claims, in the order of the course."""

from importlib import import_module
from pathlib import Path

from tests.claims.claim import CLAIMS as CLAIMS

for path in sorted(Path(__file__).parent.glob("said_*.py")):
    import_module(f"tests.claims.{path.stem}")
