"""Do receipts close, what do they say of the story of Oslo, and which sentences about the embedded model do they allow?

    python -m tests.claims.receipts          about two minutes

Closing is told as the largest error over all, as a share of max(1, |difference|). The hand calculation reads the
checkpoint's file by itself and takes the matrices from there. Each sentence stands with what could have refuted it,
over 64 stories "P lives in C. He has a cat. Let us say it again. P lives in", against another city.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import captum.attr
import torch
from safetensors.torch import load_file
from torch import Tensor

from bloomlab import BloomConfig, BloomForCausalLM, Lab, drawn, load, tiny
from bloomlab.hooks import Hooks
from bloomlab.lens.attribution import attribution, mean_embedding
from bloomlab.lens.look_receipt import READ as LOOK
from bloomlab.lens.look_receipt import look_receipt
from bloomlab.lens.look_receipts import look_receipts
from bloomlab.lens.patching import effects_over
from bloomlab.lens.receipt import READ, Receipt, Versus, receipt, total_effects
from bloomlab.lens.receipts import receipts
from bloomlab.tiny.language import LANGUAGES
from bloomlab.tiny.pairs import recaps
from bloomlab.tiny.world import story

OSLO = "Leo lives in Oslo. He has a cat. Let us say it again. Leo lives in"
KINDS: dict[str, Versus] = {"another": 7, "three": [3, 5, 9], "the mean of all": "mean", "nothing": None}
STOP, FIRST_STOP, LAST = 16, 4, 19  # tokens of the story: the full stop after "again", the first one, the last "in"


# ---- closing ----


def closing(lab: Lab) -> Iterator[str]:
    """The largest error of each language, of each kind of measure; 20 random texts each, at random positions."""
    yield f"{'20 texts each':<16}{''.join(f'{name:>17}' for name in KINDS)}"
    for code in LANGUAGES:
        worst = dict.fromkeys(KINDS, 0.0)
        for seed in range(20):
            trace = lab.trace(story(code, seed).text[:120], READ)
            for name, versus in KINDS.items():
                found = receipt(lab.model, trace, 100 + seed, versus, -1 - seed % len(trace.tokens))
                worst[name] = max(worst[name], found.error / max(1, abs(found.difference)))
        yield f"{code:<16}{''.join(f'{error:17.1e}' for error in worst.values())}"


def shapes(lab: Lab) -> Iterator[str]:
    """The same in models with random weights: every depth up to six, tied or not, and in bfloat16."""
    for kind, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        for tied in (True, False):
            errors = []
            for layers in range(1, 7):
                torch.manual_seed(layers)
                sizes: dict[str, Any] = {"hidden_size": 48, "n_head": 6, "n_layer": layers, "vocab_size": 3072}
                model = BloomForCausalLM(BloomConfig(**sizes, tie_word_embeddings=tied)).eval().to(dtype)
                for weight in model.parameters():
                    weight.data.mul_(8)  # else next to nothing is added to the embedding
                trace = Lab(model, lab.tokenizer, name="random").trace(OSLO, READ)
                found = receipt(model, trace, 9, 4)
                errors.append(found.error / max(1, abs(found.difference)))
            yield f"1 to 6 layers, {'tied' if tied else 'untied'}, {kind:<9} largest error {max(errors):.1e}"


def looks(lab: Lab) -> Iterator[str]:
    trace = lab.trace(OSLO, LOOK)
    errors = [
        look_receipt(lab.model, trace, layer, head, query, key).error
        for layer in range(4)
        for head in range(8)
        for query, key in ((19, 16), (19, 19), (7, 0))
    ]
    yield f"a look of every head, at three places: largest error {max(errors):.1e} nats"


# ---- beside what is not written here ----


def by_hand(lab: Lab) -> Iterator[str]:
    """The direct line of each head and MLP from the matrices of the checkpoint's file, and captum's three answers."""
    (path,) = tiny.folder().glob("*.safetensors")
    weights = {name.removeprefix("transformer."): value.double() for name, value in load_file(path).items()}
    trace = lab.trace(OSLO, [*READ, "final"])
    oslo, sydney = (lab.tokens(word)[0].id for word in (" Oslo", " Sydney"))
    found = receipt(lab.model, trace, oslo, sydney)
    table = weights["word_embeddings.weight"]
    direction = (table[oslo] - table[sydney]) * weights["ln_f.weight"]
    last = trace["h.3.resid_post"][0, -1].double()
    sigma = (last.var(unbiased=False) + lab.model.config.layer_norm_epsilon).sqrt()
    misses = []
    for layer in range(4):
        out = weights[f"h.{layer}.self_attention.dense.weight"].unflatten(1, (8, -1))
        for head in range(8):
            part = out[:, head] @ trace[f"h.{layer}.attn.mixed"][0, head, -1].double()
            misses.append(abs(line(part, direction, sigma) - told(found, f"head {layer}.{head}")))
        part = trace[f"h.{layer}.mlp.out"][0, -1].double()
        misses.append(abs(line(part, direction, sigma) - told(found, f"MLP {layer}")))
    yield f"direct lines beside the checkpoint's matrices by hand: largest difference {max(misses):.1e} nats"

    *_, step = attribution(lab.model, lab.tokenizer, OSLO, " Oslo", " Sydney")
    ours = step.results[0]
    own = lab.trace(OSLO, ["embed"])["embed"]
    baseline = lab.trace(OSLO, ["embed"], {"embed": mean_embedding(lab.model)})["embed"]

    def lead(states: Tensor) -> Tensor:
        hooks = Hooks(edit={"embed": lambda x, at: states})
        logits = lab.model(trace.ids.expand(len(states), -1), hooks=hooks).logits[:, -1]
        return logits[:, oslo] - logits[:, sydney]

    mask = torch.arange(own.shape[1])[None, :, None].expand_as(own)
    gradients = captum.attr.IntegratedGradients(lead)
    theirs = {
        "integrated": gradients.attribute(own, baseline, n_steps=ours.steps, method="gausslegendre").sum(-1)[0],
        "gradient": captum.attr.InputXGradient(lead).attribute(own.clone().requires_grad_()).detach().sum(-1)[0],
        "left_out": captum.attr.FeatureAblation(lead).attribute(own, baseline, feature_mask=mask)[0, :, 0],
    }
    for name, values in theirs.items():
        miss = (getattr(ours, name) - values.detach()).abs().max().item()
        yield f"{name} beside captum's: largest difference {miss:.1e} nats"
    yield f"integrated gradients at {ours.steps} steps: residue {ours.residue_share:.2%} of the change"


def line(part: Tensor, direction: Tensor, sigma: Tensor) -> float:
    return float((part - part.mean()) @ direction / sigma)


def told(found: Receipt, name: str) -> float:
    return found.direct[found.names.index(name)].item()


# ---- the story of Oslo ----


def oslo(lab: Lab) -> Iterator[str]:
    trace = lab.trace(OSLO, READ)
    oslo, sydney = (lab.tokens(word)[0].id for word in (" Oslo", " Sydney"))
    for name, versus in {"raw": None, "above the mean of all": "mean", "against Sydney": sydney}.items():
        found = receipt(lab.model, trace, oslo, versus)
        order = found.direct.abs().argsort(descending=True)[:4].tolist()
        parts = ", ".join(f"{found.names[part]} {found.direct[part]:+.2f}" for part in order)
        yield f"{name:<22} {found.difference:7.3f}: {parts}"
    looked = lab.trace(OSLO, LOOK)
    here, there = (look_receipt(lab.model, looked, 1, 1, LAST, key) for key in (STOP, FIRST_STOP))
    why = here.against(there)
    mlp = why.of_key[why.names.index("MLP 0")]
    yield f"head 1.1, last token at the full stop after “again”: {here.score:.3f}; against the first full stop "
    yield f"  {why.score:.2f}, of which MLP 0 in the key gives {mlp:.2f}"


# ---- three sentences ----


def sentences(lab: Lab) -> Iterator[str]:
    pairs = recaps(lab.tokenizer, between=" ")
    texts = [case.text for case in pairs]
    *_, step = receipts(lab.model, lab.tokenizer, pairs, partial(drawn, texts))
    several = step.results[0]
    names = several.names
    heads = [part for part, name in enumerate(names) if name.startswith("head ") and name != "head bias"]
    totals = several.total[:, heads]
    order = totals.mean(0).argsort(descending=True).tolist()
    first, second = (heads[place] for place in order[:2])
    wins = int((totals.argmax(1) == order[0]).sum())
    lost, next_most = (several.total[:, part].mean() for part in (first, second))
    yield (
        f"1  Of the 32 heads, {names[first]} is the one without which most of the city's lead goes: {lost:.2f} of "
        f"{several.difference.mean():.2f} nats with another such story's output in its place; next {names[second]}, "
        f"{next_most:.2f}. It is first in {wins} of 64 stories."
    )

    at, mlp = names.index("head 3.4"), names.index("MLP 3")
    falls, lines, after = 0, [], []
    for case in pairs:
        trace = lab.trace(case.text, READ)
        answer, rival = (lab.tokens(token)[0].id for token in (case.answer, case.rival))
        own = receipt(lab.model, trace, answer, rival)
        run = partial(_read, lab)
        *_, (_, measured) = total_effects(lab.model, run, trace, own, answer, rival, -1, partial(drawn, texts))
        if measured.moved is None:
            continue
        lines.append(measured.direct[mlp].item())
        after.append(lines[-1] + measured.moved[at, mlp].item())
        falls += after[-1] < lines[-1]
    before, then = (sum(values) / len(values) for values in (lines, after))
    direct, total = (values[:, at].mean() for values in (several.direct, several.total))
    yield (
        f"2  Nothing makes up for head 3.4: MLP 3, which reads it, makes the loss larger. Its line is {before:.2f} "
        f"nats, and {then:.2f} with another story's head 3.4; it falls in {falls} of 64 stories. Head 3.4: direct "
        f"{direct:.2f}, total {total:.2f}."
    )

    *_, looked = look_receipts(lab.model, lab.tokenizer, pairs, 1, 1, LAST, STOP, FIRST_STOP)
    found = looked.results[0]
    place = found.names.index("MLP 0")
    keys = found.of_key.mean(0)
    others = keys.clone()
    others[place] = 0
    rival_part = int(others.abs().argmax())
    most = int((found.of_key.argmax(1) == place).sum())
    yield (
        f"3  Head 1.1 looks from the last token at the full stop after “again” and not at the first one for what MLP "
        f"0 wrote there: {keys[place]:.2f} of {found.score.mean():.2f} nats, and no other part of the key has as much "
        f"in {most} of 64 stories (next: {found.names[rival_part]}, {keys[rival_part]:.2f})."
    )

    *_, mapped = effects_over(lab.model, lab.tokenizer, pairs, estimate="none", alike=texts[:1])
    shares = mapped.results[0].exact
    rest = shares.clone()
    rest[3, :4] = rest[LAST] = 0
    far = divmod(int(rest.abs().argmax()), rest.shape[1])
    city, last = ([round(shares[token, state].item(), 2) + 0.0 for state in (3, 4)] for token in (3, LAST))
    yield (
        f"   beside it: copied from the same story with another city, the state at the city's token takes {city[0]} of "
        f"the lead before layer 3 and {city[1]} after it, that at the last token {last[0]} and {last[1]}; no other "
        f"cell more than {rest.abs().max():.2f} (token {far[0]}, {mapped.results[0].columns[far[1]]})."
    )


def _read(lab: Lab, ids: Tensor, edit: Any) -> Any:
    return lab.trace(ids, READ, edit)


if __name__ == "__main__":
    opened = load()
    for part in (closing, shapes, looks, by_hand, oslo, sentences):
        for said in part(opened):
            print(said, flush=True)
