"""What the pages in docs/ show is what happens."""

import doctest
import runpy
from pathlib import Path

import pytest
import torch

import bloomlab
from docs import make_architecture

DOCS = Path(__file__).parents[2] / "docs"
MADE = {"api.md", "architecture.md", "claims.md"}  # by scripts, which other tests compare with
FOLLOWED = {"extending.md", "first-contribution.md"}  # step by step, by test_extending.py
LONG = {"training.md", "jax.md"}  # a dozen seconds each
PAGES = [
    pytest.param(page, id=page.stem, marks=[pytest.mark.slow] if page.name in LONG else [])
    for page in sorted(DOCS.glob("*.md"))
    if page.name not in MADE | FOLLOWED
]
OPTIONS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


@pytest.mark.filterwarnings("ignore:.* not in the files, so made new at random:UserWarning")
@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_examples_of_a_page_give_what_it_shows(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    text = page.read_text(encoding="utf-8")
    test = doctest.DocTestParser().get_doctest(text, {}, page.name, str(page), 0)
    assert bool(test.examples) == ("```python" in text)
    said: list[str] = []
    doctest.DocTestRunner(optionflags=OPTIONS).run(test, out=said.append)
    assert not said, "".join(said)


def test_every_page_is_in_the_list_of_pages() -> None:
    contents = (DOCS / "README.md").read_text(encoding="utf-8")
    for page in DOCS.glob("*.md"):
        assert page.name == "README.md" or f"]({page.name})" in contents, page.name


@pytest.mark.slow
def test_the_api_page_says_what_the_docstrings_say() -> None:
    made = runpy.run_path(str(DOCS / "make_api.py"))["page"]()
    assert (DOCS / "api.md").read_text(encoding="utf-8") == made, "run `make format`, which writes docs/api.md anew"


@pytest.mark.slow
def test_the_page_of_the_floors_says_what_the_imports_say() -> None:
    made = make_architecture
    for shown, drawn in ((made.PAGE, made.page()), (made.PICTURE, made.picture())):
        assert shown.read_text(encoding="utf-8") == drawn, "run `make format`, which draws the floors anew"


def test_the_api_page_has_every_public_name() -> None:
    headings = {line[4:] for line in (DOCS / "api.md").read_text("utf-8").splitlines() if line.startswith("### ")}
    others = {"__version__", "AutoTokenizer"}
    assert headings >= set(bloomlab.__all__) - others
