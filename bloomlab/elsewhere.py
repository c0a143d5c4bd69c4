"""What other libraries call a thing, and what does it here: the end of an error about a name that is not known.

People arrive from transformers, TransformerLens and nnsight and type what they know. One word for one thing is kept:
a name of theirs is not added here, but the error that it meets says what to type.
"""

import re
from collections.abc import Iterable, Mapping

from bloomlab.errors import did_you_mean

_LAB = "bloomlab.load(name), whose lab has the model, its tokenizer and a verb for each thing to do"
PACKAGE = {
    "AutoModel": "bloomlab.BloomModel",
    "AutoConfig": "bloomlab.BloomConfig",
    **{
        f"AutoModelFor{task}": f"bloomlab.BloomFor{task}"
        for task in ("CausalLM", "SequenceClassification", "TokenClassification", "QuestionAnswering")
    },
    **dict.fromkeys(("BloomTokenizer", "tokenizer"), "bloomlab.BloomTokenizerFast.from_pretrained(name)"),
    **dict.fromkeys(("from_pretrained", "HookedTransformer", "LanguageModel", "NNsight", "open"), _LAB),
    "pipeline": "bloomlab.load(), whose lab has generate, classify, tag and answer",
    **dict.fromkeys(("Trainer", "train"), "bloomlab.fit; transformers' own Trainer takes these models, too"),
    "list_models": "bloomlab.models()",
}
"""Names people look for in the package itself. (A verb of the lab is found by the list of verbs.)"""

VERBS = """
    ablate alibi answer attention attribution card cases classify direction effects explore finding generate
    hidden_states info keep lengths lens lessons like map predictions receipt refute stream tag tokens trace without
    write
""".split()  # of Lab, written here because looking there loads torch; a test compares

LAB = {
    **dict.fromkeys(("hook_names", "spots", "hook_points", "hook_dict"), "lab.model.hook_names()"),
    **dict.fromkeys(("config", "cfg"), "lab.model.config"),
    **{name: f"lab.model.config.{name}" for name in ("n_layer", "n_head", "hidden_size", "vocab_size")},
    **dict.fromkeys(("n_layers", "num_layers"), "lab.model.config.n_layer"),
    **dict.fromkeys(("n_heads", "num_heads"), "lab.model.config.n_head"),
    **dict.fromkeys(("encode", "to_tokens"), "lab.tokens(text).ids"),
    **dict.fromkeys(("tokenize", "to_str_tokens"), "lab.tokens(text)"),
    **dict.fromkeys(("decode", "to_string"), "lab.tokenizer.decode(ids)"),
    **dict.fromkeys(("logits", "forward"), 'lab.trace(text, ["logits"])["logits"]'),
    **dict.fromkeys(("predict", "next_token", "top", "topk"), "lab.predictions(text); lab.lens(text) as a table"),
    **dict.fromkeys(("run_with_cache", "activations", "cache"), 'lab.trace(text, read="*")'),
    **dict.fromkeys(("run_with_hooks", "intervene", "edit", "hook"), "lab.trace(text, edit={…}), or lab.explore"),
    **dict.fromkeys(("complete", "continue_text", "sample"), "lab.generate(text)"),
    "logit_lens": "lab.lens(text)",
    **dict.fromkeys(("model_view", "architecture", "diagram", "summary"), "lab.map(text)"),
    **dict.fromkeys(("attn", "attentions", "attention_patterns", "patterns"), "lab.attention(text)"),
    **dict.fromkeys(("patch", "activation_patching", "path_patching"), "lab.effects(text, other)"),
    "steer": "lab.direction(…), which finds a direction and adds it",
    "zero_ablate": "lab.ablate(text, spot, …)",
    "embed": 'lab.trace(text, ["embed"])["embed"]',
    **dict.fromkeys(
        ("loss", "perplexity", "score", "surprisal"),
        "lab.model(ids, labels=ids).loss",
    ),
    **dict.fromkeys(("save", "save_pretrained"), "lab.model.save_pretrained(folder)"),
    **dict.fromkeys(("load", "from_pretrained"), "bloomlab.load(name_or_folder)"),
    **dict.fromkeys(("to", "cuda"), "bloomlab.load(name, device=…, dtype=…)"),
    **{name: f"lab.model.{name}" for name in ("device", "dtype", "parameters")},
    **dict.fromkeys(("show", "view", "plot", "visualize"), "lab.explore(text)"),
    "help": "help(lab), or ?lab in a notebook",
}

MODEL = {
    **dict.fromkeys(
        ("add_hook", "hooks", "hook_dict", "run_with_hooks", "reset_hooks"),
        "an argument of the call: model(ids, hooks=Hooks(read=[…], edit={…}))",
    ),
    "run_with_cache": 'bloomlab.Lab(model, tokenizer).trace(text, read="*")',
    **dict.fromkeys(("trace", "to_tokens", "to_string", "to_str_tokens"), "a verb of bloomlab.Lab(model, tokenizer)"),
    "cfg": "model.config",
    **dict.fromkeys(("W_E", "wte", "embed", "embed_tokens"), "model.get_input_embeddings()"),
    **dict.fromkeys(("W_U", "unembed"), "model.lm_head"),
    **dict.fromkeys(("blocks", "layers"), "model.transformer.h"),
}

TRACE = {
    "attentions": 'trace.stack("attn.probs")',
    "hidden_states": 'trace.stack("resid_post"), if it was read',
    "logits": 'trace["logits"], if it was read: read=["logits"]',
    **dict.fromkeys(("keys", "spots"), "trace.names"),
    **dict.fromkeys(("items", "values", "activations", "cache_dict"), "trace.readings"),
    "index": 'trace.find("word"), which gives all places',
    **dict.fromkeys(("input_ids", "tokens_ids"), "trace.ids"),
}

TOKENIZER = {"vocab": "tokenizer.get_vocab()", "tokens_to_ids": "tokenizer.convert_tokens_to_ids(tokens)"}

CONFIG = {
    **dict.fromkeys(("n_layers", "num_layers"), "n_layer"),
    **dict.fromkeys(("n_heads", "num_heads"), "n_head"),
    **dict.fromkeys(("n_embd", "d_model", "hidden_dim", "embed_dim", "d_embed"), "hidden_size"),
    "d_head": "head_dim",
    "d_vocab": "vocab_size",
    **dict.fromkeys(("n_ctx", "n_positions", "max_position_embeddings"), "nothing: ALiBi sets no limit"),
}

_PARTS = {  # in a block: what they call it -> the spot's name after h.N
    **{name: f"attn.{name[10:]}" for name in ("attn.hook_q", "attn.hook_k", "attn.hook_v")},
    **dict.fromkeys(("attn.hook_z", "attn.z"), "attn.mixed"),
    **dict.fromkeys(("attn.hook_attn_scores", "attn.attn_scores"), "attn.biased"),
    **dict.fromkeys(("attn.hook_pattern", "attn.pattern", "attn.weights", "attn.attention_probs"), "attn.probs"),
    **dict.fromkeys(("attn.hook_result", "attn.result"), "attn.mixed"),
    **dict.fromkeys(
        ("hook_attn_out", "attn_out", "attn", "self_attention", "self_attn", "self_attention.dense"), "attn.out"
    ),
    **dict.fromkeys(("hook_mlp_out", "mlp_out", "mlp", "mlp.dense_4h_to_h"), "mlp.out"),
    **dict.fromkeys(("mlp.hook_pre", "mlp.dense_h_to_4h"), "mlp.pre"),
    **dict.fromkeys(("mlp.hook_post", "mlp.gelu_impl", "mlp.act"), "mlp.post"),
    **{f"hook_{name}": name for name in ("resid_pre", "resid_mid", "resid_post")},
    **dict.fromkeys(("input_layernorm", "hook_in"), "resid_pre"),
    "post_attention_layernorm": "resid_mid",
    "self_attention.query_key_value": "attn.q (and attn.k, attn.v)",
    "": "resid_post",
}
_WHOLE = {
    "attentions": "attn.probs",
    "hidden_states": "resid_post",
    "pattern": "attn.probs",
    **dict.fromkeys(("hook_embed", "word_embeddings", "wte", "embed_tokens", "word_embeddings_layernorm"), "embed"),
    **dict.fromkeys(("ln_f", "ln_final", "ln_final.hook_normalized", "last_hidden_state"), "final"),
    **dict.fromkeys(("lm_head", "unembed", "score", "classifier", "qa_outputs"), "logits"),
    **dict.fromkeys(("all", "everything", ""), "*"),
}
_BLOCK = re.compile(r"(?:h|blocks|layers?)[.\[](-?\d+)\]?\.?(.*)")
_HEAD = re.compile(r"[lLaA]?(\d+)[.:hH ]+(\d+)")
_MLP = re.compile(r"(?:mlp|MLP) ?\.?(\d+)|[mM](\d+)")


def spot_elsewhere(name: str, spots: Iterable[str], n_layer: int | None = None) -> str:
    """The end of an error about a name that is no spot: what that is called here, or names like it, or nothing.

    >>> spots = ["embed", "h.0.attn.probs", "h.1.attn.probs"]
    >>> spot_elsewhere("blocks.1.attn.hook_pattern", spots)
    "; here that is 'h.1.attn.probs'"
    >>> spot_elsewhere("L1H5", spots)
    "; a head is a number at a spot of its layer: 'h.1.attn.mixed' with head=5"
    >>> spot_elsewhere("h.7.attn.probs", spots)
    '; the layers are h.0 to h.1'
    """
    spots = list(spots)
    if head := _HEAD.fullmatch(name):
        return f"; a head is a number at a spot of its layer: 'h.{int(head[1])}.attn.mixed' with head={int(head[2])}"
    if mlp := _MLP.fullmatch(name):
        return f"; what an MLP adds is 'h.{int(mlp[1] or mlp[2])}.mlp.out'"
    plain = re.sub(r"(\.output|\.input)?(\[0\])?$", "", re.sub(r"^(transformer|model)\.", "", name))
    if plain in _WHOLE:
        return f"; here that is {_WHOLE[plain]!r}"
    last = max((int(spot.split(".")[1]) for spot in spots if spot.startswith("h.")), default=0)
    last = last if n_layer is None else n_layer - 1
    if block := _BLOCK.fullmatch(plain):
        layer, part = int(block[1]), block[2]
        if not 0 <= layer <= last:
            return f"; the layers are h.0 to h.{last}"
        if part in _PARTS:
            return f"; here that is {f'h.{layer}.{_PARTS[part]}'!r}"
    elif plain in _PARTS:
        return f"; here that is {_PARTS[plain]!r}"
    return did_you_mean(name, [*spots, *{spot.split(".", 2)[2] for spot in spots if spot.startswith("h.")}])


_COLUMNS = ("pos", "query", "key", "position", "positions", "token", "tokens", "column", "columns", "seq", "index")


def axis_elsewhere(name: str, axes: Iterable[str]) -> str:
    """The end of an error about an axis that a spot does not have.

    >>> axis_elsewhere("pos", ["batch", "head", "query", "head_dim"])
    "; its positions are 'query'"
    >>> axis_elsewhere("heads", ["batch", "head", "query", "head_dim"])
    "; did you mean 'head'?"
    """
    axes = list(axes)
    here = [axis for axis in ("pos", "query", "key") if axis in axes]
    if name in _COLUMNS and here:
        return f"; its positions are {' and '.join(map(repr, here))}"
    if name.removesuffix("s") in axes:
        return f"; did you mean {name.removesuffix('s')!r}?"
    if name in ("layer", "layers"):
        return "; the layer is part of the spot's name, as in 'h.3.attn.mixed'"
    if name in ("neurons", "unit", "feature", "dim", "d_model") and {"neuron", "hidden"} & {*axes}:
        return f"; did you mean {next(axis for axis in axes if axis in ('neuron', 'hidden'))!r}?"
    return did_you_mean(name, axes)


def hint(name: str, table: Mapping[str, str], names: Iterable[str] = ()) -> str:
    """The end of an error about a name that an object does not have.

    >>> hint("cfg", MODEL), hint("hocks", {}, ["hooks"])
    ('; here that is model.config', "; did you mean 'hooks'?")
    """
    return f"; here that is {table[name]}" if name in table else did_you_mean(name, names)
