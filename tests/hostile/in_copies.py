"""What a function says from copies of a process: each can be ended, or become another user, and harms nobody.

The copies are made of a Python that has no other threads: JAX, for one, cannot be copied with its.
"""

import importlib
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


def in_a_new_python(module: str, function: str, *arguments: str) -> Any:
    """What `module.function(*arguments)` gives in a Python of its own, whatever is loaded here; it must fit JSON."""
    command = [sys.executable, "-W", "ignore", "-m", "tests.hostile.in_copies", module, function, *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=600)
    if done.returncode:
        raise RuntimeError(done.stderr[-3000:])
    return json.loads(done.stdout.splitlines()[-1])


if __name__ == "__main__":
    print(json.dumps(getattr(importlib.import_module(sys.argv[1]), sys.argv[2])(*sys.argv[3:])))
