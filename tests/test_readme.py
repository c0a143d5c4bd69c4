"""What the README shows is what happens."""

import io
import re
from contextlib import redirect_stdout
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_example_prints_what_the_readme_says() -> None:
    (example, output) = re.findall(r"```python\n(.*?)```\n.*?```text\n(.*?)```", README, re.DOTALL)[0]
    assert len(example.splitlines()) <= 12
    printed = io.StringIO()
    with redirect_stdout(printed):
        exec(compile(example, "README.md", "exec"), {})
    assert printed.getvalue() == output


def test_the_map_has_a_line_for_every_folder() -> None:
    (drawn,) = re.findall(r"```\n(bloomlab/\n.*?)```", README, re.DOTALL)
    lines = drawn.splitlines()
    folders = {f"{path.parent.name}/" for path in (ROOT / "bloomlab").glob("[a-z]*/*.py")}
    assert {line.split()[0] for line in lines if line.startswith("  ")} == folders
    for line in lines:
        if not line.startswith("  "):
            assert (ROOT / line.split()[0]).is_dir(), line
