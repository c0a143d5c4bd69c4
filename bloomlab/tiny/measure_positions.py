"""What the twins do on texts longer than those they were trained on: the figures of their card.

    python -m bloomlab.tiny.measure_positions                       the tables, of the shipped files; a few minutes
    python -m bloomlab.tiny.measure_positions my-positions --write  keeps the figures there and writes the card
    python -m bloomlab.tiny.measure_positions my-short --short      of twins that `positions --short` trained

Four things are kept apart, since "longer" mixes them:

    loss by length      the same text read whole and in pieces: what more context is worth
    near and far        one question, asked right after what it is about, or at the other end of the text. Both texts
                        are equally long and hold the same sentences: only the distance differs
    untold              the same question and text without that sentence: what can be guessed
    repeats by lag      random tokens said twice, so many tokens apart; or a few of them, after so many others

Losses are in nats per token. A figure is (mean, standard error), over rows or questions.
"""

import argparse
import math
import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bloomlab.config import BloomConfig
from bloomlab.errors import BloomlabError, CheckpointError, InputError
from bloomlab.guards.files import read_json, write_json
from bloomlab.heads.causal_lm import BloomForCausalLM
from bloomlab.hooks import Edit, Edits, Hooks
from bloomlab.lens.lengths import token_losses
from bloomlab.model.positions import BASE, KINDS, gentler, in_place_of_alibi, kind_of, reached, stretched_base, window
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tiny import TWINS_FOLDER, folder, starts
from bloomlab.tiny.card import files, fill, limits, markdown
from bloomlab.tiny.documents import filler
from bloomlab.tiny.facts import Pool, draw_fact
from bloomlab.tiny.floors import FIGURES, Floor
from bloomlab.tiny.language import LANGUAGES
from bloomlab.tiny.measure import FIRST_ID, MAX_BYTES, attention, attention_distance, validation_rows
from bloomlab.tiny.positions import BRIEF, LENGTH, RANDOM, READS
from bloomlab.tiny.world import join, tell

LENGTHS = tuple(LENGTH * times for times in (1, 2, 4, 8))
ROWS, CASES, RANDOM_ROWS = 16, 60, 8
ANOTHER_SEED = "another_seed.json"  # figures of twins from another start, which do not ship
PLACES = ("near", "far", "untold")
COPY = {"alibi": 0.8, "sinusoidal": 0.8}
"""The least share of repeats right, of those that learned it from every start that was tried: alibi from two,
sinusoidal from one. Rotary learned it from one of two, so nothing can be asked of it; the others never did."""
ENGLISH = LANGUAGES["en"]

Figure = tuple[float, float]
"""A mean and its standard error."""


def figure(values: Tensor) -> Figure:
    """Mean and standard error of independent values.

    >>> figure(torch.tensor([1.0, 3.0]))
    (2.0, 1.0)
    """
    values = values.double()
    error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return round(values.mean().item(), 4), round(error, 4)


# ------------------------------------------------------------------------------------- near and far


class Asked(NamedTuple):
    """A question about one fact, and three texts before it that are equally long, or nearly so."""

    texts: dict[str, str]  # by PLACES
    question: str
    answer: str


def asked(tokenizer: BloomTokenizerFast, total: int, count: int = CASES) -> list[Asked]:
    """Questions with texts of about `total` tokens in all, never more; as many as fit are about others.

    The texts of a longer `total` go on from those of a shorter one: the same facts, and more about others.
    """
    return [_asked(tokenizer, total, random.Random(f"asked {number}")) for number in range(count)]


def _asked(tokenizer: BloomTokenizerFast, total: int, rng: random.Random) -> Asked:
    pool = Pool(held=True, known=True)
    fact = draw_fact(rng.choice(("lives", "born", "job", "eats")), pool.person(rng), "cat", rng, pool)
    told = tell([fact], ENGLISH, rng).text
    question = "\n" + ENGLISH.write("ask", fact)
    answer = ENGLISH.gap + ENGLISH.write("answer", fact)[:-1]
    others, left = "", total - len(tokenizer.encode(told + question + answer)) - 1
    while True:
        more = join(others, filler(rng, ENGLISH, 1, (fact.values["person"],), pool), ENGLISH)
        if len(tokenizer.encode(more)) > left:
            break
        others = more
    texts = {"near": join(others, told, ENGLISH), "far": told + ENGLISH.gap * bool(others) + others, "untold": others}
    return Asked(texts, question, answer)


@torch.no_grad()
def answered(
    model: BloomForCausalLM,
    tokenizer: BloomTokenizerFast,
    cases: Sequence[Asked],
    place: str,
    edit: Edits | None = None,
) -> dict[str, Figure]:
    """How surprised the model is by the answers (nats per token), and the share that it would have given itself."""
    losses, right = [], []
    for case in cases:
        before, after = tokenizer.encode(case.texts[place] + case.question), tokenizer.encode(case.answer)
        ids = torch.tensor([before + after])
        logits = model(ids, logits_to_keep=len(after) + 1, hooks=Hooks(edit=edit)).logits[0, :-1].float()
        truth = torch.tensor(after)
        losses.append(torch.nn.functional.cross_entropy(logits, truth))
        right.append(logits.argmax(-1).equal(truth))
    return {"loss": figure(torch.stack(losses)), "right": figure(torch.tensor(right).double())}


# ------------------------------------------------------------------------------------------ repeats


@torch.no_grad()
def repeated(
    model: BloomForCausalLM,
    lag: int,
    before: int = 0,
    edit: Edits | None = None,
    rows: int = RANDOM_ROWS,
    vocab: int = RANDOM,
) -> dict[str, Figure]:
    """`lag` random tokens said twice, behind `before` others: the share foreseen, and how much the best head looks.

    "looks" is the attention that the head which does so most gives to what came next last time.
    """
    generator = torch.Generator().manual_seed(lag + 1000 * before)
    first, once = (torch.randint(FIRST_ID, vocab, (rows, count), generator=generator) for count in (before, lag))
    ids, start = torch.cat([first, once, once], 1), before + lag
    query = torch.arange(start, start + lag - 1)
    each, stripes = [], []
    for row in ids.split(1):  # the patterns of all rows at once would not fit
        probs, logits = attention(model, row, edit)
        each.append((logits[:, start:-1].argmax(-1) == row[:, start + 1 :]).double().mean(1))
        stripes.append(probs[..., query, query - lag + 1].mean(-1))  # (layer, 1, head)
    right, looks = torch.cat(each), torch.cat(stripes, 1)
    layer, head = divmod(int(looks.mean(1).argmax()), looks.shape[2])
    return {"right": figure(right), "looks": figure(looks[layer, :, head])}


# -------------------------------------------------------------------------------------------- a twin


def of_twin(model: BloomForCausalLM, tokenizer: BloomTokenizerFast, vocab: int = RANDOM) -> dict[str, Any]:
    """All figures of a twin; what its table of positions does not reach is left out. Its random tokens are of the first
    `vocab`, as in its training.
    """
    rows = validation_rows(tokenizer, LENGTHS[-1], ROWS, **READS)
    reads = [length for length in LENGTHS if length <= reached(model.config, LENGTHS[-1])]
    found: dict[str, Any] = {
        "by_length": {str(n): loss_of_pieces(model, rows, n) for n in reads},
        "by_position": by_position(model, rows[:, : reads[-1]]),
        "asked": {str(n): {p: answered(model, tokenizer, asked(tokenizer, n), p) for p in PLACES} for n in reads},
        "by_lag": {str(n // 2): repeated(model, n // 2, vocab=vocab) for n in (16, 32, *reads)},
        "late": {str(n): repeated(model, 16, n - 32, vocab=vocab) for n in reads},
        "distance": {},
    }
    for length in (reads[0], reads[-1]):
        of_heads = attention_distance(model, rows[:4, :length])
        found["distance"][str(length)] = [[round(x, 2) for x in row] for row in of_heads.tolist()]
    return found


@torch.no_grad()
def loss_of_pieces(model: BloomForCausalLM, rows: Tensor, length: int, edit: Edits | None = None) -> Figure:
    """The loss of long rows, read in pieces of `length` tokens: the error is that over whole rows.

    In every length the same tokens are counted: those that follow another one even in the shortest pieces.
    """
    losses = []
    for row in rows:
        each = token_losses(model, row.reshape(-1, length), Hooks(edit=edit) if edit else None)
        every = torch.cat([torch.full((len(each), 1), math.nan), each], 1).flatten()  # of each token of the row
        counted = torch.arange(len(row)) % LENGTHS[0] != 0
        losses.append(every[counted].mean())
    return figure(torch.stack(losses))


@torch.no_grad()
def by_position(model: BloomForCausalLM, rows: Tensor) -> list[Figure]:
    """The loss in each stretch of positions of whole rows."""
    losses = torch.cat([token_losses(model, row[None]) for row in rows])
    return [figure(part.mean(1)) for part in losses.split(starts.STRETCH, 1) if part.shape[1] > 1]


# ------------------------------------------------------------------------------------------ remedies


def plain_bloom(twin: BloomForCausalLM) -> BloomForCausalLM:
    """BLOOM, ALiBi and all, with a twin's weights: what else the twin is, is edits (`in_place_of_alibi`)."""
    bloom = BloomForCausalLM(BloomConfig.from_dict(twin.config.to_dict(), positions="alibi"))
    kept = {name: weight for name, weight in twin.state_dict().items() if "position_embeddings" not in name}
    bloom.load_state_dict(kept)
    return bloom.eval()


def remedies(twin: BloomForCausalLM) -> dict[str, Edits]:
    """By name, what may help a twin with longer texts; each is an edit on BLOOM with its weights."""
    kind, layers = kind_of(twin.config), range(twin.config.n_layer)
    head_dim = twin.config.head_dim

    def own(base: float = BASE, slower: float = 1.0) -> dict[str, Edit]:
        return in_place_of_alibi(kind, len(layers), base=base, slower=slower)

    def seen(width: int, first: int = 0) -> dict[str, Edit]:
        return {f"h.{i}.attn.biased": window(width, first) for i in layers}

    if kind == "learned":
        return {}
    found: dict[str, Edits] = {
        f"window of {LENGTH}": own() | seen(LENGTH),
        f"window of {LENGTH}, first 4 kept": own() | seen(LENGTH, 4),
        f"window of {LENGTH // 2}": own() | seen(LENGTH // 2),
    }
    for longer in (2, 4, 8):
        if kind == "rotary":
            found[f"base stretched for {longer}×"] = own(base=stretched_base(longer, head_dim))
            found[f"positions squeezed by {longer}"] = own(slower=longer)
        if kind == "alibi":
            found[f"slopes {longer}× gentler"] = {f"h.{i}.attn.alibi": gentler(longer) for i in layers}
    return found


def of_remedies(twin: BloomForCausalLM, tokenizer: BloomTokenizerFast) -> dict[str, Any]:
    """What each remedy makes of the longest texts: loss, questions near and far, random tokens said again."""
    bloom, rows, longest = plain_bloom(twin), validation_rows(tokenizer, LENGTHS[-1], ROWS, **READS), LENGTHS[-1]
    cases = asked(tokenizer, longest)
    return {
        name: {
            "loss": loss_of_pieces(bloom, rows, longest, edit),
            "near": answered(bloom, tokenizer, cases, "near", edit)["loss"],
            "far": answered(bloom, tokenizer, cases, "far", edit)["loss"],
            "late": repeated(bloom, 16, longest - 32, edit)["right"],
        }
        for name, edit in remedies(twin).items()
    }


# --------------------------------------------------------------------------------------------- tables


def every_twin(where: Path) -> Iterator[tuple[str, BloomForCausalLM]]:
    """The twins of a folder by their names, "rotary-seed1" those from another start; in the order of KINDS.

    Raises:
        InputError: there is none.
    """
    found = names_of(where)
    if not found:
        raise InputError(f"there are no twins in {where}; python -m bloomlab.tiny.positions trains them")
    for name in found:
        yield name, BloomForCausalLM.from_pretrained(where / name).eval()


def names_of(where: Path) -> list[str]:
    """The folders of twins in a folder."""
    names = sorted(path.name for path in where.iterdir() if path.is_dir()) if where.is_dir() else []
    return [name for kind in KINDS for name in names if name.split("-seed")[0] == kind]


def measure_starts(where: Path) -> dict[str, Any]:
    """The figures that show the spread, of twins of the short setting: loss, questions, repeats, distances."""
    tokenizer, found = BloomTokenizerFast.from_pretrained(folder()), {}
    for name, model in every_twin(where):
        of = of_twin(model, tokenizer, BRIEF.random)
        found[name] = {part: of[part] for part in ("by_length", "by_position", "asked", "by_lag", "distance")}
    return found


def measure(where: Path = TWINS_FOLDER) -> dict[str, Any]:
    """All figures of the twins of a folder."""
    tokenizer = BloomTokenizerFast.from_pretrained(folder())
    return {
        kind: {**of_twin(model, tokenizer), "remedies": of_remedies(model, tokenizer)}
        for kind, model in every_twin(where)
    }


def floors(figures: dict[str, Any]) -> list[Floor]:
    """What the twins must reach, so that they have something to show: each has learned its task at its own length."""
    found = []
    for name, of in figures.items():
        near = of["asked"][str(LENGTH)]["near"]["right"][0]
        found += [
            Floor(f"{name}: loss in rows of {LENGTH}", of["by_length"][str(LENGTH)][0], "≤", 1.75),
            Floor(f"{name}: answered, the fact near", near, "≥", 0.2),
        ]
        if least := COPY.get(name.split("-seed")[0]):
            right = of["by_lag"]["16"]["right"][0]
            found.append(Floor(f"{name}: 16 random tokens said twice, right", right, "≥", least))
    if alibi := figures.get("alibi"):
        longest, own = (alibi["by_length"][str(length)][0] for length in (LENGTHS[-1], LENGTH))
        late = alibi["late"][str(LENGTHS[-1])]["right"][0]
        found += [
            Floor(f"alibi: loss in rows of {LENGTHS[-1]} (limit: of {LENGTH})", longest, "≤", own),
            Floor(f"alibi: 16 random tokens said twice, {LENGTHS[-1]} in all", late, "≥", 0.75),
        ]
    return found


def shown(value: Sequence[float]) -> str:
    """A figure as the card shows it.

    >>> shown((1.2345, 0.012))
    '1.23 ± 0.01'
    """
    return f"{value[0]:.2f} ± {value[1]:.2f}"


def across(figures: dict[str, Any], name: str, pick: Callable[[Any], Sequence[float]] = lambda value: value) -> str:
    """A table: a line for each twin, a column for each length or lag; "–" beyond what its table of positions holds."""
    columns = list(dict.fromkeys(column for of in figures.values() for column in of[name]))
    rows = [
        [kind, *(shown(pick(of[name][c])) if c in of[name] else "–" for c in columns)] for kind, of in figures.items()
    ]
    return markdown(["", *columns], rows)


def distances(figures: dict[str, Any]) -> str:
    """How far the heads look on average, in tokens: the mean of all, the nearest and the farthest."""
    rows = []
    for kind, of in figures.items():
        for length, heads in of["distance"].items():
            flat = [value for row in heads for value in row]
            rows.append([kind, length, *(f"{x:.1f}" for x in (sum(flat) / len(flat), min(flat), max(flat)))])
    return markdown(["", "tokens in the row", "mean of all heads", "nearest", "farthest"], rows)


def stretches(figures: dict[str, Any]) -> str:
    """The loss by position, a line for each twin."""
    width = LENGTH // 2
    most = max(len(of["by_position"]) for of in figures.values())
    rows = [
        [kind, *(f"{value[0]:.2f}" for value in of["by_position"]), *["–"] * (most - len(of["by_position"]))]
        for kind, of in figures.items()
    ]
    return markdown(["from position", *(str(i * width) for i in range(most))], rows)


def remedied(figures: dict[str, Any]) -> str:
    """What each remedy makes of the longest texts, below the twin as it is."""
    longest, rows = str(LENGTHS[-1]), []
    for kind, of in figures.items():
        if longest not in of["by_length"]:
            continue
        asked_there, late = of["asked"][longest], of["late"][longest]["right"]
        as_it_is = {
            "loss": of["by_length"][longest],
            "near": asked_there["near"]["loss"],
            "far": asked_there["far"]["loss"],
        }
        for name, each in {"as it is": {**as_it_is, "late": late}, **of["remedies"]}.items():
            rows.append([kind, name, *(shown(each[what]) for what in ("loss", "near", "far", "late"))])
    return markdown(["", f"at {longest} tokens", "loss", "answer, near", "answer, far", "16 repeated, right"], rows)


def trained(where: Path) -> str:
    """How each twin was trained, and what it had reached at the end."""
    rows = []
    for kind in names_of(where):
        run = read_json(where / kind / "history.json", MAX_BYTES, CheckpointError)
        last = run["history"][-1]
        half = next((row["step"] for row in run["history"] if row["repeats"] >= 0.5), None)
        reached = [f"{last[name]:.3f}" for name in ("loss", "induction", "repeats", "near")]
        rows.append(
            [kind, str(run["steps"]), str(run["seed"]), f"{last['seconds'] / 60:.0f} min", *reached, str(half or "–")]
        )
    head = [
        "",
        "steps",
        "seed",
        "took",
        "loss",
        "induction",
        "repeats",
        "two people",
        "half of the repeats right at step",
    ]
    return markdown(head, rows)


def parts(figures: dict[str, Any], where: Path) -> dict[str, Callable[[], str]]:
    """The tables of the card, by the names that it has for them."""

    def of_asked(place: str, what: str) -> Callable[[], str]:
        rows = {kind: {"asked": {n: by[place][what] for n, by in of["asked"].items()}} for kind, of in figures.items()}
        return lambda: across(rows, "asked")

    kept = where / ANOTHER_SEED
    seeds = read_json(kept, MAX_BYTES, CheckpointError) if kept.is_file() else {}
    again = {name: of for name, of in {**figures, **seeds}.items() if name in seeds or f"{name}-seed1" in seeds}
    lags = {name: {"by_lag": {n: right for n, right in of["by_lag"].items() if n != "8"}} for name, of in again.items()}

    chance = starts.kept() if where == TWINS_FOLDER and (where / starts.STARTS).is_file() else {}
    return {
        **starts.tables(chance),
        "starts_floors": lambda: limits(starts.floors(chance, chance, str(LENGTH), str(LENGTHS[-1]))),
        "seeds_lengths": lambda: across(again, "by_length"),
        "seeds_lags": lambda: across(lags, "by_lag", lambda value: value["right"]),
        "floors": lambda: limits(floors(figures)),
        "trained": lambda: trained(where),
        "lengths": lambda: across(figures, "by_length"),
        "positions": lambda: stretches(figures),
        **{f"{place}_{what}": of_asked(place, what) for place in PLACES for what in ("loss", "right")},
        "lags": lambda: across(figures, "by_lag", lambda value: value["right"]),
        "looks": lambda: across(figures, "by_lag", lambda value: value["looks"]),
        "late": lambda: across(figures, "late", lambda value: value["right"]),
        "distances": lambda: distances(figures),
        "remedies": lambda: remedied(figures),
        "files": lambda: files(where, ("README.md",)),
    }


def of_starts(where: Path, write: bool) -> bool:
    """Print the spread of twins of the short setting, and the floors that are kept; whether all are reached.

    With `write`, the figures are kept beside the shipped twins, and stand in their card.
    """
    found = measure_starts(where)
    if write:
        write_json(TWINS_FOLDER / starts.STARTS, found)
        card, figures = TWINS_FOLDER / "README.md", read_json(TWINS_FOLDER / FIGURES, MAX_BYTES, CheckpointError)
        card.write_text(fill(card.read_text(encoding="utf-8"), parts(figures, TWINS_FOLDER)), encoding="utf-8")
    for name, table in starts.tables(found).items():
        print(f"\n{name}\n\n{table()}")
    held = starts.floors(found, starts.kept(), str(LENGTH), str(LENGTHS[-1]))
    print("", *held, sep="\n")
    return all(held)


def main() -> None:
    parser = argparse.ArgumentParser(description="measure what the twins do on texts longer than they were trained on")
    parser.add_argument(
        "folder", nargs="?", type=Path, default=TWINS_FOLDER, help="of the twins (default: the shipped)"
    )
    parser.add_argument("--write", action="store_true", help="keep the figures there, and write them into the card")
    parser.add_argument("--short", action="store_true", help="twins of the short setting: how far the starts lie apart")
    arguments = parser.parse_args()
    where: Path = arguments.folder
    try:
        if arguments.short:
            if not of_starts(where, arguments.write):
                parser.exit(1, "a floor is missed\n")
            return
        figures = measure(where)
        if arguments.write:
            write_json(where / FIGURES, figures)
            card = where / "README.md"
            if card.is_file():
                card.write_text(fill(card.read_text(encoding="utf-8"), parts(figures, where)), encoding="utf-8")
        for name, table in parts(figures, where).items():
            print(f"\n{name}\n\n{table()}")
        if not all(floors(figures)):
            parser.exit(1, "a floor is missed\n")
    except BloomlabError as error:
        parser.exit(1, f"{error}\n")


if __name__ == "__main__":
    main()
