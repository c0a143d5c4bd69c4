"""A conversation as one text, by a template that you pass. BLOOM has none of its own, and none is read from files.

A template is a small program. So it comes from the caller only, never from a checkpoint, and runs in jinja2's sandbox.
"""

import json
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from bloomlab.errors import InputError, MissingPackageError, shorten
from bloomlab.guards.arguments import whole_text


def rendered(template: Any, conversation: Any, names: Mapping[str, Any]) -> str:
    """What a template makes of a conversation: a list of {"role": …, "content": …}.

    >>> template = "{% for m in messages %}{{ m.role }}: {{ m.content }}; {% endfor %}"
    >>> rendered(template, [{"role": "me", "content": "Hi"}], {})
    'me: Hi; '

    Raises:
        InputError: there is no template, it is broken or refuses the conversation, or that is none.
        MissingPackageError: jinja2 is not installed.
    """
    if template is None:
        raise InputError("BLOOM has no chat template, and none is read from a file; pass chat_template='{% for … %}'")
    whole_text(template, "chat_template")
    messages = conversation if isinstance(conversation, Sequence) and not isinstance(conversation, str) else ()
    if not messages or not all(isinstance(message, Mapping) for message in messages):
        got = shorten(conversation)
        raise InputError(f"a conversation is a list such as [{{'role': 'user', 'content': 'Hi'}}], but got {got}")
    if find_spec("jinja2") is None:
        raise MissingPackageError("a chat template needs jinja2, but it is not installed; pip install jinja2")
    jinja2 = import_module("jinja2")
    sandbox = import_module("jinja2.sandbox").ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[import_module("jinja2.ext").loopcontrols]
    )
    sandbox.filters["tojson"] = lambda value, **style: json.dumps(value, ensure_ascii=False, **style)
    sandbox.globals["raise_exception"] = _refuse
    plain = [{name: value for name, value in message.items() if value is not None} for message in messages]
    try:
        return str(sandbox.from_string(template).render(messages=plain, **names))
    except (jinja2.TemplateError, TypeError, ValueError, ArithmeticError, LookupError) as error:
        raise InputError(f"the chat template cannot write this conversation: {error}") from None


def _refuse(message: Any) -> None:
    raise InputError(str(message))
