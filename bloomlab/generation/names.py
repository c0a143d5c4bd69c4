"""What a setting is called: names that other libraries have, and what to do here."""

from collections.abc import Iterable, Sequence

from bloomlab.errors import GenerationError, did_you_mean

ELSEWHERE = {  # what other libraries call it
    "stop": "stop_strings=…, the texts that end a row",
    **dict.fromkeys(("max_tokens", "length"), "max_new_tokens=…"),
    **dict.fromkeys(("n", "num_samples"), "num_return_sequences=… with do_sample=True"),
    **dict.fromkeys(("layer", "layers"), 'read=["h.3.attn.probs"] names a layer, read=["attn.probs"] takes all'),
    "output_attentions": 'read=["attn.probs"]',
    "output_hidden_states": 'read=["resid_post"]',
    **dict.fromkeys(("hooks", "fwd_hooks", "edits"), "edit={…}, and read=[…]"),
    "streamer": "generate(…) takes it; stream(…) yields each step as it comes, and lab.stream(text) each piece of text",
    **dict.fromkeys(
        ("return_dict_in_generate", "output_scores", "output_logits"),
        "model.generate(…) takes it; stream(…) yields each step with its scores, and lab.write(…).steps explains them",
    ),
}
NOT_FOR_A_CALL = ("transformers_version", "bos_token_id", "_from_model_config", "_commit_hash")
"""What a generation_config of transformers says beside settings."""
NOT_OFFERED = {  # and what comes nearest
    **dict.fromkeys(("penalty_alpha", "top_h"), "typical_p=… or top_p=… with do_sample=True comes nearest"),
    **dict.fromkeys(
        ("num_beam_groups", "diversity_penalty"), "num_beams=… with do_sample=True gives beams that differ"
    ),
    **dict.fromkeys(
        ("assistant_model", "prompt_lookup_num_tokens", "low_memory", "cache_implementation", "custom_generate"),
        "it would write the same text; leave it out",
    ),
    **dict.fromkeys(("constraints", "force_words_ids"), "sequence_bias=… makes sequences likelier"),
    **dict.fromkeys(
        ("watermarking_config", "prefix_allowed_tokens_fn", "guidance_scale"),
        "logits_processor=[f] takes a function (ids, scores) -> scores that can do it",
    ),
    **dict.fromkeys(
        ("encoder_repetition_penalty", "encoder_no_repeat_ngram_size", "decoder_start_token_id", "forced_bos_token_id"),
        "BLOOM has no encoder, and a prompt begins with whatever you put there; leave it out",
    ),
    "position_ids": "ALiBi needs none; leave it out",
    "dola_layers": "lab.lens(text) shows what every layer would say",
}


def check_names(given: Iterable[str], names: Sequence[str]) -> None:
    """Refuse a name that is no setting.

    Raises:
        GenerationError: with what it is called here, what comes nearest, or names like it.
    """
    for name in given:
        if name in ELSEWHERE:
            raise GenerationError(f"{name} goes by another name here: {ELSEWHERE[name]}")
        if name in NOT_OFFERED:
            raise GenerationError(f"{name} is not offered here: {NOT_OFFERED[name]}")
        if name not in names:
            raise GenerationError(f"there is no generation setting {name!r}{did_you_mean(name, names)}")
