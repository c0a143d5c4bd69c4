"""What people type first: who knows transformers, TransformerLens or nnsight, and who has read nothing.

Each guess works, or ends in one sentence that says what does. No second way to do a thing is kept for it.
"""

import warnings
from typing import Any

import pytest

import bloomlab
from bloomlab.elsewhere import CONFIG, LAB, MODEL, PACKAGE, TOKENIZER, TRACE, VERBS
from bloomlab.errors import BloomlabError
from bloomlab.lab import Lab

TEXT = "Leo lives in Oslo. Leo has a cat."

WORK = """
lab.ablate(TEXT, "h.3.attn.mixed", head=-1)
lab.ablate(TEXT, "h.3.attn.mixed", head=[3, -1])
lab.ablate(TEXT, "h.3.attn.mixed", query=-1)
lab.ablate(TEXT, "h.3.attn.probs", head=0, key=-1)
lab.ablate(TEXT, "attn.mixed", head=2)
lab.trace(TEXT, ["h.3.attn.probs"])["attn.probs"]
lab.trace(TEXT, read="*").names
lab.trace(TEXT, read="probs")
lab.trace(TEXT, edit={"h.3.attn.mixed": zero(head=-1, query=slice(-2, None))})
lab.trace(TEXT).find("Oslo")
lab.trace(TEXT).tokens.index("Oslo")
lab.tokens(TEXT).index("Oslo")
lab.tokens(TEXT).index(" Oslo")
lab.tokens(TEXT).find("Leo")
lab.tokens(TEXT).ids
lab.tokens(TEXT)[-1]
lab.explore(TEXT, layer=3, head=5, tab="hidden")
lab.explore(TEXT, layer=-1, query=-1)
lab.attention(TEXT, layer=3, head=5)
lab.hidden_states(TEXT, layer=2)
lab.model.config
lab.generate(TEXT, max_length=14)
lab.generate(TEXT, 5)
lab.generate([TEXT, "Leo"], max_new_tokens=3)
lab.generate(TEXT, temperature=0, max_new_tokens=3)
lab.generate(TEXT, do_sample=True, temperature=0, max_new_tokens=3)
lab.generate(TEXT, stop_strings=["."])
lab.tag(TEXT)
lab.classify(TEXT)
lab.answer(context=TEXT, question="Where does Leo live?")
lab.heads
bloomlab.models()
bloomlab.model
model.hook_names()
model(ids, output_attentions=True).attentions
model.config.num_hidden_layers
model.config.n_embed
tokenizer.encode(TEXT, return_tensors="pt")
tokenizer.decode(5)
tokenizer.pad_token
Hooks(["h.3.attn.probs"])
""".strip().splitlines()

SAID = """
lab.ablate(TEXT, layer=3, head=5)                                   | lab.ablate(text, 'h.3.attn.mixed', head=5)
lab.ablate(TEXT, "L3H5")                                            | 'h.3.attn.mixed' with head=5
lab.ablate(TEXT, (3, 5))                                            | lab.ablate(text, 'h.3.attn.mixed', head=5)
lab.ablate(TEXT, [(3, 5)])                                          | lab.ablate(text, 'h.3.attn.mixed', head=5)
lab.ablate(TEXT, heads=[(3, 5)])                                    | lab.ablate(text, 'h.3.attn.mixed', head=5)
lab.ablate(TEXT)                                                    | ablate takes the name of a spot
lab.ablate(TEXT, "3.5")                                             | 'h.3.attn.mixed' with head=5
lab.ablate(TEXT, "mlp 3")                                           | 'h.3.mlp.out'
lab.ablate(TEXT, "h.3.attn.mixed", pos=-1)                          | its positions are 'query'
lab.ablate(TEXT, "h.3.attn.mixed", position=2)                      | its positions are 'query'
lab.ablate(TEXT, "h.3.resid_post", query=2)                         | its positions are 'pos'
lab.ablate(TEXT, "h.3.attn.probs", pos=2)                           | its positions are 'query' and 'key'
lab.ablate(TEXT, "h.3.attn.mixed", heads=[2, 3])                    | did you mean 'head'?
lab.ablate(TEXT, "h.3.attn.mixed", head=-9)                         | counts from 0
lab.ablate(TEXT, "h.3.attn.mixed", query=-99)                       | the text has 10 tokens, so query goes from -10 on
lab.ablate(TEXT, "h.3.mlp.out", layer=3)                            | the layer is part of the spot's name
lab.ablate(TEXT, "blocks.3.attn.hook_z", head=2)                    | 'h.3.attn.mixed'
lab.trace(TEXT)["attn.probs"]                                       | trace.stack('attn.probs')
lab.trace(TEXT, read="all")                                         | here that is '*'
lab.trace(TEXT, read=None)                                          | such as read=["attn.probs"]
lab.trace(TEXT, read=3)                                             | such as read=["attn.probs"]
lab.trace(TEXT, read=[(3, 5)])                                      | 'h.3.attn.mixed' with head=5
lab.trace(TEXT, read="attentions")                                  | here that is 'attn.probs'
lab.trace(TEXT, read="hidden_states")                               | here that is 'resid_post'
lab.trace(TEXT, read="blocks.3.attn.hook_pattern")                  | here that is 'h.3.attn.probs'
lab.trace(TEXT, read="blocks.3.attn.hook_q")                        | here that is 'h.3.attn.q'
lab.trace(TEXT, read="blocks.3.attn.hook_attn_scores")              | here that is 'h.3.attn.biased'
lab.trace(TEXT, read="blocks.3.hook_resid_post")                    | here that is 'h.3.resid_post'
lab.trace(TEXT, read="blocks.3.hook_mlp_out")                       | here that is 'h.3.mlp.out'
lab.trace(TEXT, read="blocks.3.hook_attn_out")                      | here that is 'h.3.attn.out'
lab.trace(TEXT, read="blocks.3.mlp.hook_pre")                       | here that is 'h.3.mlp.pre'
lab.trace(TEXT, read="hook_embed")                                  | here that is 'embed'
lab.trace(TEXT, read="ln_final.hook_normalized")                    | here that is 'final'
lab.trace(TEXT, read="transformer.h.3.self_attention")              | here that is 'h.3.attn.out'
lab.trace(TEXT, read="transformer.h[3].self_attention.output[0]")   | here that is 'h.3.attn.out'
lab.trace(TEXT, read="h.3.self_attention.query_key_value")          | h.3.attn.q
lab.trace(TEXT, read="transformer.h.3.mlp")                         | here that is 'h.3.mlp.out'
lab.trace(TEXT, read="transformer.h.3")                             | here that is 'h.3.resid_post'
lab.trace(TEXT, read="transformer.ln_f")                            | here that is 'final'
lab.trace(TEXT, read="transformer.word_embeddings")                 | here that is 'embed'
lab.trace(TEXT, read="lm_head")                                     | here that is 'logits'
lab.trace(TEXT, read="model.layers.3.self_attn")                    | here that is 'h.3.attn.out'
lab.trace(TEXT, read="h.3.attn.pattern")                            | here that is 'h.3.attn.probs'
lab.trace(TEXT, read="h.3.attn.weights")                            | here that is 'h.3.attn.probs'
lab.trace(TEXT, read="h.3.attn.z")                                  | here that is 'h.3.attn.mixed'
lab.trace(TEXT, read="h.9.attn.probs")                              | the layers are h.0 to h.3
lab.trace(TEXT, read="h.-1.attn.probs")                             | the layers are h.0 to h.3
lab.trace(TEXT, layers=[3])                                         | read=["h.3.attn.probs"]
lab.trace(TEXT, output_attentions=True)                             | read=["attn.probs"]
lab.trace(TEXT, output_hidden_states=True)                          | read=["resid_post"]
lab.trace(TEXT, hooks=[])                                           | edit={…}
lab.trace(TEXT).attentions                                          | trace.stack("attn.probs")
lab.trace(TEXT).hidden_states                                       | trace.stack("resid_post")
lab.trace(TEXT).logits                                              | read=["logits"]
lab.trace(TEXT).keys()                                              | trace.names
lab.trace(TEXT).items()                                             | trace.readings
lab.trace(TEXT)["h.3.attn.pattern"]                                 | here that is 'h.3.attn.probs'
lab.trace(TEXT)["pattern", 3]                                       | trace['h.3.attn.probs']
lab.trace(TEXT).find("Rome")                                        | 'Rome' is nowhere in the text
lab.tokens(TEXT).index("Osol")                                      | did you mean 'Oslo'?
lab.trace(TEXT, edit={"h.3.attn.probs": 0})                         | such as zero(head=3)
lab.trace(TEXT, edit={"h.3.attn.mixed": zero})                      | must take (tensor, at)
lab.trace(TEXT, edit=[("h.3.attn.mixed", zero())])                  | such as {'h.3.attn.mixed': zero(head=5)}
lab.trace(TEXT, edit=zero(layer=3))                                 | such as {'h.3.attn.mixed': zero(head=5)}
lab.trace(TEXT, edit={"h.3.attn.mixed": zero(layer=3)})             | the layer is part of the spot's name
lab.trace(TEXT, edit={"L3H5": zero()})                              | 'h.3.attn.mixed' with head=5
lab.explore(TEXT, head=8)                                           | head goes from 0 to 7
lab.explore(TEXT, tab="hiden")                                      | did you mean 'hidden'?
lab.explore(TEXT, mode="content")                                   | opened at layer, head, query, key, tab
lab.hook_names()                                                    | lab.model.hook_names()
lab.spots                                                           | lab.model.hook_names()
lab.encode(TEXT)                                                    | lab.tokens(text).ids
lab.to_str_tokens(TEXT)                                             | lab.tokens(text)
lab.decode([5, 6])                                                  | lab.tokenizer.decode(ids)
lab.config                                                          | lab.model.config
lab.n_heads                                                         | lab.model.config.n_head
lab.logits(TEXT)                                                    | lab.trace(text, ["logits"])["logits"]
lab.run_with_cache(TEXT)                                            | lab.trace(text, read=
lab.run_with_hooks(TEXT, fwd_hooks=[])                              | lab.trace(text, edit={…})
lab.intervene(TEXT)                                                 | lab.trace(text, edit={…})
lab.predict(TEXT)                                                   | lab.predictions(text)
lab.complete(TEXT)                                                  | lab.generate(text)
lab.logit_lens(TEXT)                                                | lab.lens(text)
lab.attention_patterns(TEXT)                                        | lab.attention(text)
lab.activation_patching(TEXT, TEXT)                                 | lab.effects(text, other)
lab.steer(TEXT)                                                     | lab.direction(
lab.perplexity(TEXT)                                                | lab.model(ids, labels=ids).loss
lab.save("x")                                                       | lab.model.save_pretrained(folder)
lab.from_pretrained("560m")                                         | bloomlab.load(name_or_folder)
lab.to("cuda")                                                      | device=
lab.device                                                          | lab.model.device
lab.show(TEXT)                                                      | lab.explore(text)
lab.atention(TEXT)                                                  | did you mean 'attention'
lab.generate(TEXT, max_tokens=3)                                    | max_new_tokens=
lab.generate(TEXT, stop=["."])                                      | stop_strings=
lab.generate(TEXT, n=3)                                             | num_return_sequences=
bloomlab.explore(TEXT)                                              | bloomlab.load().explore(
bloomlab.generate(TEXT)                                             | bloomlab.load().generate(
bloomlab.from_pretrained("560m")                                    | bloomlab.load(name)
bloomlab.list_models()                                              | bloomlab.models()
bloomlab.pipeline("text-generation")                                | generate, classify, tag and answer
bloomlab.AutoModelForCausalLM                                       | bloomlab.BloomForCausalLM
bloomlab.AutoConfig                                                 | bloomlab.BloomConfig
bloomlab.HookedTransformer                                          | bloomlab.load(name)
bloomlab.LanguageModel                                              | bloomlab.load(name)
bloomlab.Trainer                                                    | bloomlab.fit
bloomlab.BloomTokenizer                                             | bloomlab.BloomTokenizerFast
bloomlab.load("bloom-560")                                          | did you mean 'bloom-560m'
model.add_hook("h.3.attn.probs", print)                             | model(ids, hooks=Hooks(
model.run_with_cache(ids)                                           | bloomlab.Lab(model, tokenizer).trace(text
model.trace(TEXT)                                                   | bloomlab.Lab(model, tokenizer)
model.to_tokens(TEXT)                                               | bloomlab.Lab(model, tokenizer)
model.cfg                                                           | model.config
model.W_E                                                           | model.get_input_embeddings()
model.blocks                                                        | model.transformer.h
model(TEXT)                                                         | tokenizer(text, return_tensors='pt')
model.config.d_model                                                | hidden_size
model.config.n_heads                                                | n_head
tokenizer.vocab                                                     | tokenizer.get_vocab()
tokenizer.decode(ids)                                               | batch_decode
Hooks(read="h.3.attn.probs")                                        | write ['h.3.attn.probs']
model(ids, hooks=Hooks(["blocks.3.attn.hook_pattern"]))             | here that is 'h.3.attn.probs'
model(ids, hooks=Hooks(edit={"h.3.attn.mixed": zero(query=-1)}))    | lab.trace(text, edit=…)
""".strip().splitlines()


@pytest.fixture(scope="module")
def names() -> dict[str, Any]:
    lab = bloomlab.load()
    ids = lab.tokenizer(TEXT, return_tensors="pt").input_ids
    given = {"lab": lab, "model": lab.model, "tokenizer": lab.tokenizer, "ids": ids, "TEXT": TEXT, "bloomlab": bloomlab}
    return {**given, "zero": bloomlab.zero, "Hooks": bloomlab.Hooks}


@pytest.mark.slow
def test_these_guesses_work(names: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for guess in WORK:
            assert eval(guess, dict(names)) is not None, guess


@pytest.mark.slow
def test_these_guesses_end_in_a_sentence_that_says_what_works(names: dict[str, Any]) -> None:
    for line in SAID:
        guess, says = (part.strip() for part in line.split(" | "))
        with pytest.raises((BloomlabError, AttributeError)) as caught:
            eval(guess, dict(names))
        assert says in str(caught.value), f"{guess}: {caught.value}"


@pytest.mark.slow
def test_a_position_from_the_end_is_the_one_python_means(names: dict[str, Any]) -> None:
    lab, zero, spot = names["lab"], names["zero"], "h.1.attn.mixed"
    last = lab.tokens(TEXT)
    for here, there in (({"query": -1}, {"query": len(last) - 1}), ({"head": -1}, {"head": 7})):
        one, two = (lab.trace(TEXT, ["logits"], {spot: zero(**where)}) for where in (here, there))
        assert one["logits"].equal(two["logits"]), here
        assert not one["logits"].equal(lab.trace(TEXT, ["logits"])["logits"])
    written = lab.trace(TEXT, [spot], {spot: zero(query=-1)}, max_new_tokens=2, eos_token_id=None)
    assert not written[spot][0, :, 9].any() and written[spot][0, :, 10].all()  # the text's end, not what is written
    view = lab.explore(TEXT, layer=-1, head=-2, query=-3, tab="hidden")
    assert (view.layer, view.head, view.query, view.tab) == (3, 6, 7, "hidden")


def test_a_word_is_found_with_and_without_its_space_at_all_its_places(names: dict[str, Any]) -> None:
    lab = names["lab"]
    trace, tokens = lab.trace(TEXT, ["embed"]), lab.tokens(TEXT)
    assert trace.find("Leo") == tokens.find("Leo") == [0, 5] and trace.find(" Leo") == [5]
    assert trace.find("Oslo") == trace.find(" Oslo") == [tokens.index("Oslo")] == [3]
    assert tokens.index(tokens[3]) == 3 and trace.tokens.index(trace.tokens[4]) == 4
    several = lab.tokens("中 and 𓀀")
    assert len(several.find("𓀀")) > 1 and several.find("中")[0] == 0  # every token that has some of it


@pytest.mark.slow
def test_several_texts_are_continued_as_each_by_itself(names: dict[str, Any]) -> None:
    lab = names["lab"]
    texts = [TEXT, "Leo", "Ana habite à"]
    assert lab.generate(texts, 6) == [lab.generate(text, 6) for text in texts]
    beams = lab.generate(texts[:2], 4, num_beams=2, num_return_sequences=2)
    assert beams == [lab.generate(text, 4, num_beams=2, num_return_sequences=2) for text in texts[:2]]
    assert lab.generate([TEXT], 2) == [lab.generate(TEXT, 2)] and lab.generate([]) == []


def test_a_setting_that_nothing_takes_is_refused_though_nothing_is_written(names: dict[str, Any]) -> None:
    with pytest.raises(BloomlabError, match="no generation setting 'laier'"):
        names["lab"].trace(TEXT, laier=3)


def test_no_hint_is_about_a_name_that_is_there(names: dict[str, Any]) -> None:
    for thing, table in (
        (bloomlab, PACKAGE),
        (names["lab"], LAB),
        (names["model"], MODEL),
        (names["lab"].trace("Leo", []), TRACE),
        (names["tokenizer"], TOKENIZER),
        (names["model"].config, CONFIG),
    ):
        assert not [name for name in table if hasattr(thing, name)]


def test_the_docstring_of_the_lab_has_an_example_of_every_verb(names: dict[str, Any]) -> None:
    """That is what `?lab` shows, verbs first."""
    verbs = {name for name in dir(Lab) if not name.startswith("_")}
    assert verbs == {*VERBS} | {"fits"}
    said = str(Lab.__doc__)
    assert {line.strip().partition("(")[0] for line in said.splitlines() if "    lab." in line} >= {
        f"lab.{verb}" for verb in verbs
    }
    assert said.index("lab.tokens(") < said.index("Attributes:")


@pytest.mark.slow
def test_the_examples_in_the_docstring_of_the_lab_run(names: dict[str, Any]) -> None:
    for line in str(Lab.__doc__).splitlines():
        if line.startswith("        lab."):
            assert eval(line.strip().split("  ")[0], dict(names)) is not None, line


def test_the_models_are_listed_with_what_fits() -> None:
    models = bloomlab.models()
    assert [fit.name for fit in models] == ["tiny", "560m", "1b1", "1b7", "3b", "7b1", "176b"]
    lines = repr(models).splitlines()
    assert "bloomlab.load('tiny')" in lines[1] and "559,214,592" in lines[2] and len(lines) == 9
