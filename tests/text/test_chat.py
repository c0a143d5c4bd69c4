"""A conversation as one text: by a template of the caller's only, in a sandbox."""

import json
from pathlib import Path
from typing import Any

import pytest

from bloomlab.errors import InputError, MissingPackageError
from bloomlab.text import chat
from bloomlab.text.tokenizer import BloomTokenizerFast
from tests.tiny_random import byte_tokenizer

TEMPLATE = "{% for m in messages %}{{ m.role }}: {{ m.content }}{{ eos_token }}{% endfor %}"
HI = [{"role": "user", "content": "Hi"}]


def test_a_template_that_is_passed_writes_the_conversation() -> None:
    tokenizer = byte_tokenizer()
    assert tokenizer.apply_chat_template(HI, chat_template=TEMPLATE, tokenize=False) == "user: Hi</s>"
    out = tokenizer.apply_chat_template([HI, [*HI, *HI]], chat_template=TEMPLATE, padding=True, return_tensors="pt")
    assert out["input_ids"].shape == (2, 18) and out["attention_mask"][0].sum() == 9
    tokenizer.chat_template = TEMPLATE
    assert tokenizer.apply_chat_template(HI, return_dict=False) == tokenizer.encode("user: Hi</s>")


def test_no_template_is_read_from_a_file(tmp_path: Path) -> None:
    byte_tokenizer().save_pretrained(tmp_path)
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": TEMPLATE}))
    (tmp_path / "chat_template.jinja").write_text(TEMPLATE)
    opened = BloomTokenizerFast.from_pretrained(tmp_path)
    with pytest.raises(InputError, match=r"no chat template, and none is read from a file; pass chat_template="):
        opened.apply_chat_template(HI)
    given = BloomTokenizerFast.from_pretrained(tmp_path, chat_template=TEMPLATE)
    assert given.apply_chat_template(HI, tokenize=False) == "user: Hi</s>"


@pytest.mark.parametrize(
    ("template", "conversation", "why"),
    [
        ("{{ messages.__class__.__mro__ }}", HI, "cannot write this conversation: .*unsafe"),
        ("{{ messages.append(1) }}", HI, "cannot write this conversation: .*unsafe"),
        ("{% for m in %}", HI, "cannot write this conversation"),
        ("{{ 1 / 0 }}", HI, "division by zero"),
        ("{{ raise_exception('roles must take turns') }}", HI, "roles must take turns"),
        (TEMPLATE, "Hi", "a conversation is a list such as"),
        (TEMPLATE, [], "a conversation is a list such as"),
        (TEMPLATE, ["Hi"], "a conversation is a list such as"),
        (5, HI, "expected a text"),
    ],
)
def test_what_cannot_be_written_is_refused_in_words(template: Any, conversation: Any, why: str) -> None:
    with pytest.raises(InputError, match=why):
        byte_tokenizer().apply_chat_template(conversation, chat_template=template)


def test_without_jinja2_it_is_said_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "find_spec", lambda name: None)
    with pytest.raises(MissingPackageError, match="pip install jinja2"):
        byte_tokenizer().apply_chat_template(HI, chat_template=TEMPLATE)
