"""BLOOM in the page beside BLOOM in Python: the same ids, bytes and merges, and every number at every spot."""

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from playwright.sync_api import Browser

from bloomlab import load
from bloomlab.hooks import NamedEdit
from bloomlab.lab import Lab
from bloomlab.lens.tokens import merges
from bloomlab.text.tokens import display_tokens
from bloomlab.tiny.language import LANGUAGES
from bloomlab.tiny.world import story
from bloomlab.tracing.edits import add, cut, patch, scale, zero
from bloomlab.tracing.record import record
from bloomlab.views.page_model import page_model
from tests.browser.blank_page import BlankPage
from tests.browser.conftest import Visit
from tests.browser.texts import HOSTILE, TEXTS
from tests.tasks.task_heads import random_lab

STORIES = [story(code, seed).text for code in LANGUAGES for seed in range(20)]
ODD = [
    *HOSTILE,
    *TEXTS.values(),
    *(
        "a",
        " ",
        "\n\n",
        "\x00",
        "a\x00b\x85c\u3000d\ufeffe",
        "é😀👩‍🚀\u0301",
        "</s>Leo<s><pad> <unk>",
        "x</s",
        "()|((,,. .",
    ),
    "中" * 40,
    "Ꭰ\U000107ffA\u2028\u2029" * 3,
]
NEAR = 1e-4  # of the largest number at a spot
STORY = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
CUT_AT = 16  # the full stop after "again"

OPEN = """async (given) => {
  const from = (path) => import("http://127.0.0.1/widgets/model/" + path);
  const [{ readWeights }, { Tokenizer }, tokens, { causalLM }, hooks, edits] = await Promise.all(
    ["weights.js", "tokenizer.js", "tokens.js", "causal_lm.js", "hooks.js", "edits.js"].map(from));
  const file = Uint8Array.from(atob(given.weights), (letter) => letter.charCodeAt(0));
  const text = (numbers) => {
    const bytes = new Uint8Array(numbers.buffer, numbers.byteOffset, numbers.byteLength);
    let letters = "";
    for (let at = 0; at < bytes.length; at += 32768) letters += String.fromCharCode(...bytes.subarray(at, at + 32768));
    return btoa(letters);
  };
  Object.assign(globalThis, { model: readWeights(file, given.config), tokenizer: new Tokenizer(given.tokenizer),
    tokens, causalLM, hooks, edits, text, headless: edits.zero({ head: 1 }).change,
    chips: (own) => tokens.displayTokens(own).map(({ shown, text, tokens }) => [shown, text, tokens]) });
}"""

READ = """([ids, names]) => {
  const all = hooks.makeHooks({ read: names ?? hooks.hookNames(model.config.n_layer).keys() });
  causalLM(model, ids, { hooks: all });
  return [...all.readings].map(([name, { data, shape, axes }]) => [name, shape, axes, text(data)]);
}"""


class Page:
    """A blank page in which a lab's model is open."""

    def __init__(self, browser: Browser, lab: Lab) -> None:
        self.lab, self.visit = lab, Visit(browser)
        self.blank = BlankPage(self.visit.page)
        self.run(OPEN, page_model(lab))

    def run(self, code: str, value: Any = None) -> Any:
        return self.visit.page.evaluate(code, value)


@pytest.fixture(scope="module")
def page(chromium: Browser) -> Iterator[Page]:
    page = Page(chromium, load())
    yield page
    page.visit.close()


def test_ids_bytes_chips_and_merges_are_pythons(page: Page) -> None:
    tokenizer = page.lab.tokenizer
    texts = [*STORIES, *(text for text in ODD if text == text.encode("utf-8", "ignore").decode())]
    found = page.run(
        """(texts) => texts.map((text) => {
            const own = tokenizer.tokens(text);
            return { ids: own.map(({ id }) => id), bytes: own.map(({ bytes }) => tokens.hex(bytes)),
              texts: own.map(({ text }) => text), chips: chips(own) };
        })""",
        texts,
    )
    assert len(texts) > 200
    for text, given in zip(texts, found, strict=True):
        expected = tokenizer.tokens(text)
        assert given["ids"] == tokenizer.encode(text), text
        assert given["bytes"] == [token.bytes.hex(" ") for token in expected]
        assert given["texts"] == [token.text for token in expected]
        chips = [[chip.shown, chip.text, list(chip.tokens)] for chip in display_tokens(expected)]
        assert given["chips"] == chips, text

    words = sorted({token.bytes for text in TEXTS.values() for token in tokenizer.tokens(text)})
    steps = page.run(
        "(words) => words.map((word) => tokenizer.merges(Uint8Array.from(word)).map(({ rank, at }) => [rank, at]))",
        list(map(list, words)),
    )
    assert steps == [[[step.rank, step.at] for step in merges(tokenizer, word)] for word in words]
    assert any(steps)


def test_every_way_of_cutting_characters_shows_as_in_python(page: Page) -> None:
    ids = np.random.default_rng(0).integers(0, 3072, (60, 12)).tolist()
    found = page.run(
        "(rows) => rows.map((ids) => chips(tokenizer.tokensOfIds(ids)))",
        ids,
    )
    for row, chips in zip(ids, found, strict=True):
        expected = display_tokens(page.lab.tokenizer.tokens_of_ids(row))
        assert chips == [[chip.shown, chip.text, list(chip.tokens)] for chip in expected]


def spots_of(page: Page, ids: list[int], names: list[str] | None = None) -> dict[str, tuple[str, torch.Tensor]]:
    found = {}
    for name, shape, axes, numbers in page.run(READ, [ids, names]):
        data = np.frombuffer(base64.b64decode(numbers), np.float32).reshape(shape)
        found[name] = (axes, torch.from_numpy(data.copy()))
    return found


def differences(page: Page, texts: list[str]) -> float:
    """The largest difference at any spot, as a share of the largest number there."""
    lab, worst = page.lab, 0.0
    names = lab.model.hook_names()
    for text in texts:
        ids = torch.tensor([lab.tokenizer.encode(text)])
        trace, here = record(lab.model, lab.tokenizer, ids, list(names)), spots_of(page, ids[0].tolist())
        assert list(here) == list(names)
        for name, (axes, values) in here.items():
            assert axes == names[name].axes
            expected = trace[name]
            assert values.shape == expected.shape
            if name == "logits":
                assert values[0, -1].argmax() == expected[0, -1].argmax()
            worst = max(worst, ((values - expected).abs().max() / expected.abs().max().clamp(min=1e-6)).item())
    return worst


def test_every_spot_is_pythons_in_ten_languages(page: Page) -> None:
    texts = [next(text for text in STORIES[20 * code : 20 * code + 20] if len(text) > 20) for code in range(10)]
    assert differences(page, texts) <= NEAR


def test_the_last_state_of_two_hundred_texts_in_ten_languages_is_pythons(page: Page) -> None:
    assert len(STORIES) == 200 and len(LANGUAGES) == 10
    worst = 0.0
    for text in STORIES:
        ids = torch.tensor([page.lab.tokenizer.encode(text)])
        expected = record(page.lab.model, page.lab.tokenizer, ids, ["final", "attn.probs"])["final"]
        _, values = spots_of(page, ids[0].tolist(), ["final"])["final"]
        worst = max(worst, ((values - expected).abs().max() / expected.abs().max()).item())
    assert worst <= NEAR


def test_a_model_with_other_sizes_and_with_norms_in_the_stream_is_pythons(chromium: Browser) -> None:
    lab = random_lab()
    lab.model.config.apply_residual_connection_post_layernorm = True
    for block in lab.model.transformer.h:
        block.residual_is_normed = True
    page = Page(chromium, lab)
    assert differences(page, ["Leo 😀 lives.", "a"]) <= NEAR
    page.visit.close()


def test_a_pass_with_a_cache_gives_what_a_full_pass_gives(page: Page) -> None:
    ids = page.lab.tokenizer.encode(STORY)
    full, stepped = page.run(
        """(ids) => {
            const full = causalLM(model, ids).logits;
            const vocab = model.config.vocab_size;
            let { cache } = causalLM(model, ids.slice(0, 7));
            const before = cache[0].k.data.slice();
            const rows = [];
            let past = cache;
            for (const part of [ids.slice(7, 8), ids.slice(8)]) {
              const step = causalLM(model, part, { past });
              past = step.cache;
              rows.push(...step.logits.data);
            }
            if (cache[0].k.data.some((value, i) => value !== before[i])) throw new Error("the cache has changed");
            return [text(full.data.slice(7 * vocab)), text(Float32Array.from(rows))];
        }""",
        ids,
    )
    first, second = (np.frombuffer(base64.b64decode(each), np.float32) for each in (full, stepped))
    assert np.abs(first - second).max() <= 2e-5 * np.abs(first).max()


EDITS: dict[str, tuple[str, NamedEdit, str]] = {
    "zero": ("h.0.attn.mixed", zero(head=1, query=CUT_AT), "edits.zero({ head: 1, query: 16 })"),
    "scale": ("h.2.mlp.out", scale(1.5, pos=[3, 7]), "edits.scale(1.5, { pos: [3, 7] })"),
    "from here on": ("h.1.resid_post", scale(0.5, pos=slice(9, None)), "edits.scale(0.5, { pos: { from: 9 } })"),
    "add": ("h.1.attn.out", add(0.25, pos=4), "edits.add(0.25, { pos: 4 })"),
    "cut": ("h.3.attn.biased", cut(query=19, key=[3, 4], head=5), "edits.cut({ query: 19, key: [3, 4], head: 5 })"),
    "slope": ("h.0.attn.alibi", scale(0.25, head=2), "edits.scale(0.25, { head: 2 })"),
    "everything": ("embed", zero(), "edits.zero()"),
}


@pytest.mark.parametrize("which", EDITS)
def test_an_edit_does_what_it_does_in_python(page: Page, which: str) -> None:
    spot, edit, code = EDITS[which]
    ids = page.lab.tokenizer.encode(STORY)
    expected = record(page.lab.model, page.lab.tokenizer, torch.tensor([ids]), ["logits", "attn.probs"], {spot: edit})
    numbers, words = page.run(
        f"""([ids, spot]) => {{
            const edit = {code};
            const made = hooks.makeHooks({{ edit: {{ [spot]: [edit.change] }} }});
            return [text(causalLM(model, ids, {{ hooks: made }}).logits.data), edit.text];
        }}""",
        [ids, spot],
    )
    found = np.frombuffer(base64.b64decode(numbers), np.float32).reshape(expected["logits"].shape)
    whole = expected["logits"].numpy()
    assert np.abs(found - whole).max() <= NEAR * np.abs(whole).max()
    assert words == repr(edit)


def test_an_edited_run_takes_what_lies_below_from_the_run_without_edits_and_is_the_same_run(page: Page) -> None:
    taken = {"embed": 0, "h.0.attn.mixed": 0, "h.2.mlp.out": 5, "h.2.resid_post": 5, "final": 9}
    found = page.run(
        """async ([text, read, edited]) => {
            const { record } = await import("http://127.0.0.1/widgets/model/trace.js");
            const each = (name) => [0, 1, 2, 3].map((layer) => `h.${layer}.${name}`);
            const spots = [...read.flatMap(each), "embed", "final"];
            const whole = record(model, tokenizer, text, spots);
            return Object.fromEntries(edited.map((spot) => {
                const edit = { [spot]: [edits.scale(0.5, spot.endsWith("mixed") ? { head: 1 } : { pos: 4 })] };
                const [all, from] = [null, whole].map((base) => record(model, tokenizer, text, spots, edit, base));
                const alike = (one, other) => one.every((value, i) => value === other[i]);
                return [spot, {
                    apart: spots.filter((one) => !alike(all.read(one).data, from.read(one).data)),
                    taken: spots.filter((one) => from.read(one).data === whole.read(one).data).length,
                }];
            }));
        }""",
        [STORY, ["attn.probs", "resid_post"], list(taken)],
    )
    assert [one["apart"] for one in found.values()] == [[]] * len(taken)
    assert {spot: one["taken"] for spot, one in found.items()} == taken


def test_a_panel_reads_out_only_the_states_that_an_edit_moved_and_says_what_it_says_anew(page: Page) -> None:
    """A head of layer 2 that is silenced moves the states of that layer and of the last."""
    found = page.run(
        """async (text) => {
            const from = (path) => import("http://127.0.0.1/widgets/" + path);
            const [{ record }, { predictionsPage }, { hiddenPage }] = await Promise.all(
                ["model/trace.js", "page/predictions.js", "page/hidden.js"].map(from));
            let states = 0; // that were read out
            const norm = model.transformer.ln_f;
            const transformer = { ...model.transformer, get ln_f() { states += 1; return norm; } };
            const lab = { model: { ...model, transformer }, tokenizer, special: [], scripts: [], name: "", hash: "" };
            const each = ["attn.out", "mlp.out", "resid_mid", "resid_post"];
            const spots = ["embed", ...each.flatMap((name) => [0, 1, 2, 3].map((layer) => `h.${layer}.${name}`))];
            const edit = { "h.2.attn.mixed": [edits.zero({ head: 3 })] };
            const run = (edit, base = null) => record(model, tokenizer, text, spots, edit, base);
            const of = (panel, trace) => {
                const before = states;
                const { picture, ...numbers } = panel.numbers(lab, trace, { query: trace.ids.length - 1 }, null);
                const plain = Object.values(numbers).map((piece) => piece.length >= 0 ? [...piece] : piece);
                return [states - before, JSON.stringify(plain)];
            };
            return Object.fromEntries([predictionsPage, hiddenPage].map((panel) => {
                const whole = run({});
                const [first, edited, undone] = [of(panel, whole), of(panel, run(edit, whole)), of(panel, whole)];
                const anew = of(panel, run(edit));  // with no run before it to take from
                return [panel.name, { read: [first[0], edited[0], undone[0], anew[0]],
                    same: [edited[1] === anew[1], undone[1] === first[1], edited[1] !== first[1]] }];
            }));
        }""",
        STORY,
    )
    assert found["predictions"] == {"read": [4, 2, 0, 4], "same": [True] * 3}
    assert found["hidden"]["same"] == [True] * 3


def test_a_product_in_webassembly_is_the_product_at_every_size(page: Page) -> None:
    sizes = [(rows, wide, width) for rows in (1, 3, 4, 63, 64, 65, 130) for wide in (2, 38) for width in (2, 14)]
    found = page.run(
        """async (sizes) => {
            const [{ roomFor, productWith }, { linear }] = await Promise.all(
                ["simd.js", "nn.js"].map((file) => import("http://127.0.0.1/widgets/model/" + file)));
            const numbers = (data) => data.map((_, i) => Math.sin(i * i + data.length));
            return sizes.map(([rows, wide, width]) => {
                const shape = [width, wide];
                const room = roomFor([[width], shape, [5]]);
                const bias = { data: room([width]), shape: [width] };
                const weight = { data: room(shape), shape };
                bias.data.set(numbers(bias.data));
                weight.data.set(numbers(weight.data));
                const x = { data: numbers(new Float32Array(rows * wide)), shape: [1, rows, wide] };
                const plain = { data: weight.data.slice(), shape };
                const [quick, slow] = [weight, plain].map((one) => linear(x, one, bias).data);
                return { ways: [weight, plain].map((one) => productWith(one) !== undefined), count: quick.length,
                    apart: Math.max(...slow.map((value, i) => Math.abs(value - quick[i]))) };
            });
        }""",
        sizes,
    )
    for (rows, _, width), one in zip(sizes, found, strict=True):
        assert one["ways"] == [True, False] and one["count"] == rows * width and one["apart"] < 1e-6


def test_a_model_says_the_same_where_a_page_may_not_have_webassembly(page: Page) -> None:
    """An older browser, or a school's policy: the same spots, by products in JavaScript."""
    found = page.run(
        """async ([weights, text]) => {
            const [{ readWeights }, { productWith }] = await Promise.all(
                ["weights.js", "simd.js"].map((name) => import("http://127.0.0.1/widgets/model/" + name)));
            const file = Uint8Array.from(atob(weights), (letter) => letter.charCodeAt(0));
            const kept = globalThis.WebAssembly;
            delete globalThis.WebAssembly;
            const without = readWeights(file, model.config);
            globalThis.WebAssembly = kept;
            const ids = tokenizer.encode(text);
            const read = (own) => {
                const all = hooks.makeHooks({ read: hooks.hookNames(own.config.n_layer).keys() });
                causalLM(own, ids, { hooks: all });
                return all.readings;
            };
            const [one, other] = [read(model), read(without)];
            const largest = (data, of) => data.reduce((most, value, i) => Math.max(most, Math.abs(of(value, i))), 0);
            const ways = [model, without].map(
                (own) => productWith(own.transformer.word_embeddings.weight) !== undefined);
            const spots = [...one].map(([name, { data }]) => {
                const there = other.get(name).data;
                const finite = data.map((value) => Number.isFinite(value) ? value : 0);
                return [name, largest(finite, (value, i) => data[i] === there[i] ? 0 : data[i] - there[i]),
                    largest(finite, (value) => value)];
            });
            return { ways, spots };
        }""",
        [page_model(page.lab)["weights"], STORY],
    )
    assert found["ways"] == [True, False] and len(found["spots"]) > 40
    assert all(apart <= 1e-7 * most for _, apart, most in found["spots"])


def test_sixteen_numbers_by_hand_silence_the_answer_as_in_python(page: Page) -> None:
    ids, oslo = page.lab.tokenizer.encode(STORY), page.lab.tokenizer.encode(" Oslo")
    before, after = page.run(
        """([ids, [word]]) => [[], [edits.zero({ head: 1, query: 16 }).change]].map((several) => {
            const made = hooks.makeHooks({ edit: { "h.0.attn.mixed": several } });
            const { data, shape } = causalLM(model, ids, { hooks: made }).logits;
            const row = data.subarray((ids.length - 1) * shape[2]);
            const most = Math.max(...row);
            return Math.exp(row[word] - most) / row.reduce((sum, value) => sum + Math.exp(value - most), 0);
        })""",
        [ids, oslo],
    )
    assert (round(before, 3), round(after, 3)) == (0.948, 0.184)
    logits = record(
        page.lab.model,
        page.lab.tokenizer,
        torch.tensor([ids]),
        ["logits"],
        {"h.0.attn.mixed": zero(head=1, query=CUT_AT)},
    )
    assert logits["logits"][0, -1].softmax(-1)[oslo[0]].item() == pytest.approx(after, abs=1e-5)


def test_a_copy_of_another_texts_states_is_pythons_patch(page: Page) -> None:
    lab, other = page.lab, STORY.replace("Oslo", "Lima")
    rows = [lab.tokenizer.encode(text) for text in (STORY, other)]
    donor = record(lab.model, lab.tokenizer, torch.tensor([rows[1]]), ["h.1.resid_post"])["h.1.resid_post"]
    edit = {"h.1.resid_post": patch(donor, [3], pos=4)}
    expected = record(lab.model, lab.tokenizer, torch.tensor([rows[0]]), ["logits"], edit)["logits"].numpy()
    numbers, words = page.run(
        """([own, other]) => {
            const reads = hooks.makeHooks({ read: ["h.1.resid_post"] });
            causalLM(model, other, { hooks: reads });
            const edit = edits.patch(reads.readings.get("h.1.resid_post"), [3], { pos: 4 });
            const made = hooks.makeHooks({ edit: { "h.1.resid_post": [edit.change] } });
            return [text(causalLM(model, own, { hooks: made }).logits.data), edit.text];
        }""",
        rows,
    )
    found = np.frombuffer(base64.b64decode(numbers), np.float32).reshape(expected.shape)
    assert np.abs(found - expected).max() <= NEAR * np.abs(expected).max()
    assert words == "patch(tensor(1, 20, 128), columns=3, pos=4)"


def test_half_a_character_and_an_id_that_is_none_are_refused_in_one_sentence(page: Page) -> None:
    refused = page.run(
        """() => [
            () => tokenizer.encode("a\\ud800b"), () => causalLM(model, [3072]), () => causalLM(model, []),
            () => causalLM(model, [1], { hooks: hooks.makeHooks({ edit: { embed: [headless] } }) })]
            .map((step) => { try { step(); return ""; } catch (error) { return error.message; } })"""
    )
    assert refused == [
        "the text has half of a character in it (a lone surrogate); delete it and type it again",
        "ids must be whole numbers from 0 to 3071, at least one, but got 3072",
        "ids must be whole numbers from 0 to 3071, at least one, but got none",
        "'embed' has no axis 'head'; it has batch, pos, hidden",
    ]


def test_halves_of_all_kinds_are_read_as_numpy_reads_them(page: Page) -> None:
    bits = np.array([0, 0x8000, 1, 0x3FF, 0x400, 0x3C00, 0xC000, 0x7BFF, 0x7C00, 0x3555], np.uint16)
    found = page.blank.evaluate("{half} from model/weights.js", "value.map(half).map(String)", bits.tolist())
    assert [float(each) for each in found] == bits.view(np.float16).astype(float).tolist()
