"""What the documentation pages do with each class, done here: the same names, with a local folder for the hub's.

The folder is opened by the name the pages use, "bigscience/bloom", from the directory that holds it.
"""

import math
from pathlib import Path

import pytest
import torch

import bloomlab
from bloomlab import (
    AutoTokenizer,
    BloomConfig,
    BloomForCausalLM,
    BloomForQuestionAnswering,
    BloomForSequenceClassification,
    BloomForTokenClassification,
    BloomModel,
    BloomTokenizerFast,
)
from tests.text.small_tokenizer import hub_folder

NAME = "bigscience/bloom"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder as the hub has them: a causal model's weights, and the tokenizer."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    Path(NAME).mkdir(parents=True)
    hub_folder(Path(NAME))
    config = BloomConfig(vocab_size=424, hidden_size=48, n_layer=2, n_head=6, pad_token_id=3)
    BloomForCausalLM(config).save_pretrained(NAME)
    return Path(NAME)


def test_every_name_the_pages_import_is_there() -> None:
    names = "AutoTokenizer BloomConfig BloomForCausalLM BloomForQuestionAnswering BloomForSequenceClassification"
    for name in (
        f"{names} BloomForTokenClassification BloomModel BloomTokenizerFast FlaxBloomModel FlaxBloomForCausalLM".split()
    ):
        assert name in bloomlab.__all__
        assert callable(getattr(bloomlab, name))


@pytest.mark.slow
def test_a_config_makes_a_model_and_the_model_keeps_it() -> None:
    configuration = BloomConfig()
    model = BloomModel(configuration)
    assert model.config == configuration
    assert (configuration.vocab_size, configuration.hidden_size, configuration.n_layer) == (250880, 64, 2)


def test_a_leading_space_makes_another_word() -> None:
    tokenizer = BloomTokenizerFast.from_pretrained(NAME)
    plain, spaced = tokenizer("hello world")["input_ids"], tokenizer(" hello world")["input_ids"]
    assert plain != spaced
    assert tokenizer.decode(spaced) == " " + tokenizer.decode(plain) == " hello world"


def test_the_base_model_gives_its_last_hidden_states() -> None:
    tokenizer = AutoTokenizer.from_pretrained(NAME)
    model = BloomModel.from_pretrained(NAME)
    inputs = tokenizer("Hello, my dog is cute", return_tensors="pt")
    outputs = model(**inputs)
    assert outputs.last_hidden_state.shape == (*inputs["input_ids"].shape, 48)


def test_the_causal_model_gives_a_loss_and_logits() -> None:
    tokenizer = AutoTokenizer.from_pretrained(NAME)
    model = BloomForCausalLM.from_pretrained(NAME)
    inputs = tokenizer("Hello, my dog is cute", return_tensors="pt")
    outputs = model(**inputs, labels=inputs["input_ids"])
    assert outputs.loss.item() > 0
    assert outputs.logits.shape == (*inputs["input_ids"].shape, 424)


@pytest.mark.filterwarnings("ignore:score.weight. not in the files:UserWarning")  # as for every new head
def test_one_class_of_several() -> None:
    tokenizer = AutoTokenizer.from_pretrained(NAME)
    model = BloomForSequenceClassification.from_pretrained(NAME)
    inputs = tokenizer("Hello, my dog is cute", return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits
    predicted_class_id = logits.argmax().item()
    assert model.config.id2label[predicted_class_id] == f"LABEL_{predicted_class_id}"

    num_labels = 5
    model = BloomForSequenceClassification.from_pretrained(NAME, num_labels=num_labels)
    assert len(model.config.id2label) == num_labels
    loss = model(**inputs, labels=torch.tensor([1])).loss
    assert loss.item() == pytest.approx(math.log(num_labels), abs=0.3)  # a new head knows nothing


@pytest.mark.filterwarnings("ignore:score.weight. not in the files:UserWarning")
def test_several_classes_at_once() -> None:
    tokenizer = AutoTokenizer.from_pretrained(NAME)
    several = {"problem_type": "multi_label_classification"}
    model = BloomForSequenceClassification.from_pretrained(NAME, **several)
    inputs = tokenizer("Hello, my dog is cute", return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits
    predicted_class_ids = torch.arange(0, logits.shape[-1])[torch.sigmoid(logits).squeeze(dim=0) > 0.5]

    num_labels = len(model.config.id2label)
    model = BloomForSequenceClassification.from_pretrained(NAME, num_labels=num_labels, **several)
    one_hot = torch.nn.functional.one_hot(predicted_class_ids[None, :].clone(), num_classes=num_labels)
    loss = model(**inputs, labels=torch.sum(one_hot, dim=1).to(torch.float)).loss
    assert loss.item() == pytest.approx(math.log(2), abs=0.3)


@pytest.mark.filterwarnings("ignore:classifier.weight, classifier.bias. not in the files:UserWarning")
def test_a_class_for_every_token() -> None:
    tokenizer = AutoTokenizer.from_pretrained(NAME)
    model = BloomForTokenClassification.from_pretrained(NAME)
    inputs = tokenizer("HuggingFace is a company", add_special_tokens=False, return_tensors="pt")
    with torch.no_grad():
        logits = model(**inputs).logits
    predicted_token_class_ids = logits.argmax(-1)
    predicted = [model.config.id2label[t.item()] for t in predicted_token_class_ids[0]]
    assert len(predicted) == inputs["input_ids"].shape[1] and set(predicted) <= {"LABEL_0", "LABEL_1"}
    loss = model(**inputs, labels=predicted_token_class_ids).loss
    assert 0 < loss.item() <= 0.7  # the labels are its own guesses


@pytest.mark.filterwarnings("ignore:qa_outputs.weight, qa_outputs.bias. not in the files:UserWarning")
def test_an_answer_inside_a_text() -> None:
    tokenizer = AutoTokenizer.from_pretrained(NAME)
    model = BloomForQuestionAnswering.from_pretrained(NAME)
    question, text = "Who was Jim Henson?", "Jim Henson was a nice puppet"
    inputs = tokenizer(question, text, return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    start, end = outputs.start_logits.argmax(), outputs.end_logits.argmax()
    answer = tokenizer.decode(inputs.input_ids[0, start : end + 1], skip_special_tokens=True)
    assert answer in question + text

    targets = {"start_positions": torch.tensor([14]), "end_positions": torch.tensor([15])}
    assert model(**inputs, **targets).loss.item() > 0


# The Flax classes


@pytest.mark.slow
def test_the_flax_base_model_gives_its_last_hidden_states() -> None:
    tokenizer = AutoTokenizer.from_pretrained(NAME)
    model = bloomlab.FlaxBloomModel.from_pretrained(NAME)
    inputs = tokenizer("Hello, my dog is cute", return_tensors="jax")
    outputs = model(**inputs)
    last_hidden_states = outputs.last_hidden_state
    assert last_hidden_states.shape == (*inputs["input_ids"].shape, 48)


@pytest.mark.slow
def test_the_flax_causal_model_gives_the_next_token_s_logits() -> None:
    tokenizer = AutoTokenizer.from_pretrained(NAME)
    model = bloomlab.FlaxBloomForCausalLM.from_pretrained(NAME)
    inputs = tokenizer("Hello, my dog is cute", return_tensors="np")
    outputs = model(**inputs)
    next_token_logits = outputs.logits[:, -1]
    assert next_token_logits.shape == (1, 424)
