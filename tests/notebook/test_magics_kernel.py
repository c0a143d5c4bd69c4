"""`%bloom` in a real kernel, as a front end talks to it: Tab, literal text, and mistakes that stop nothing."""

from collections.abc import Iterator
from typing import Any

import pytest
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import start_new_kernel

from bloomlab.notebook.commands import COMMANDS

pytestmark = pytest.mark.slow

TEXTS = [
    "{__import__('os').abort()} $name ${name}",
    "don't",
    'an "unbalanced quote',
    "Where does Leo live?",
    "--seed 3 -o name",
    "\N{GRINNING FACE} é 世 مرحبا",
]


@pytest.fixture(scope="module")
def kernel(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BlockingKernelClient]:
    with pytest.MonkeyPatch.context() as patch:
        for name in ("IPYTHONDIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR"):
            patch.setenv(name, str(tmp_path_factory.mktemp(name.lower())))
        manager, client = start_new_kernel(kernel_name="python3")
        try:
            client.execute_interactive("%load_ext bloomlab\nname = 'expanded'", timeout=60, output_hook=lambda _: None)
            yield client
        finally:
            client.stop_channels()
            manager.shutdown_kernel(now=True)


def run(kernel: BlockingKernelClient, code: str, shown: str = "''") -> tuple[dict[str, Any], Any]:
    """Run a cell, as Shift+Enter does, and then read an expression there: the reply, and the expression's value."""
    reply = kernel.execute_interactive(
        code, user_expressions={"shown": shown}, timeout=60, output_hook=lambda _: None, store_history=False
    )["content"]
    data = reply.get("user_expressions", {}).get("shown", {}).get("data", {})
    return reply, data.get("text/plain")


def tab(kernel: BlockingKernelClient, code: str) -> tuple[list[str], str]:
    """What Tab at the end of the code offers, and the piece of code that it would replace."""
    kernel.complete(code, len(code))
    reply = kernel.get_shell_msg(timeout=60)["content"]
    return sorted(reply["matches"]), code[reply["cursor_start"] : reply["cursor_end"]]


@pytest.mark.parametrize(
    ("typed", "words", "replaced"),
    [
        ("%bloom ", sorted(COMMANDS), ""),
        ("%bloom ge", ["generate"], "ge"),
        ("%%bloom hid", ["hidden"], "hid"),
        ("x = 1\n%bloom al", ["alibi"], "al"),
        ("%bloom generate --t", ["--temperature", "--top-k", "--top-p"], "--t"),
        ("%bloom generate --seed 1 --top-k", ["--top-k"], "--top-k"),
        ("%bloom load --dtype b", ["bfloat16"], "b"),
        ("%bloom info bloomz-7", ["bloomz-7b1"], "bloomz-7"),
    ],
)
def test_tab_offers_what_can_follow(kernel: BlockingKernelClient, typed: str, words: list[str], replaced: str) -> None:
    assert tab(kernel, typed) == (words, replaced)


def test_tab_after_a_model_is_open_knows_its_spots(kernel: BlockingKernelClient) -> None:
    run(kernel, "%bloom tokens Leo")
    assert tab(kernel, "%bloom ablate --spot h.3.mlp.p") == (["h.3.mlp.post", "h.3.mlp.pre"], "h.3.mlp.p")


def test_a_text_arrives_as_it_was_typed(kernel: BlockingKernelClient) -> None:
    joined = "b''.join(token.bytes for token in kept).decode()"
    for text in TEXTS:
        for code in (f"%%bloom tokens -o kept\n{text}", f"%bloom tokens -o kept -- {text}"):
            reply, shown = run(kernel, code, joined)
            assert reply["status"] == "ok" and shown == repr(text), (code, reply)


def test_a_mistake_is_one_line_without_a_traceback_and_the_kernel_lives(kernel: BlockingKernelClient) -> None:
    messages: list[Any] = []
    for line in ("%bloom nothing", "%bloom generate --seed x Leo", "%bloom load /no/such/folder", "%bloom ablate Leo"):
        messages.clear()
        reply = kernel.execute_interactive(line, timeout=60, output_hook=messages.append)
        assert reply["content"]["status"] == "error" and reply["content"]["ename"] == "UsageError"
        text = "".join(str(message["content"].get("text", "")) for message in messages).strip()
        assert text.startswith("UsageError: %bloom") and "\n" not in text and "Traceback" not in text
    assert run(kernel, "", "1 + 1")[1] == "2"
