"""All claims, in the order of the course, whichever file of them was imported first."""

from importlib import import_module
from pathlib import Path

from tests.claims.claim import CLAIMS as CLAIMS

FILES = [f"tests.claims.{path.stem}" for path in sorted(Path(__file__).parent.glob("said_*.py"))]
for name in FILES:
    import_module(name)
in_order = sorted(CLAIMS.items(), key=lambda item: FILES.index(item[1].measure.__module__))
CLAIMS.clear()
CLAIMS.update(in_order)
