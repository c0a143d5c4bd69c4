"""Ten languages say the same facts, each by its own grammar; a sentence against the grammar is not read."""

import random

import pytest

from bloomlab.tiny.facts import FACTS, TRAINING, WORDS, Fact, draw_fact
from bloomlab.tiny.language import CODES, LANGUAGES, SLOT


def facts(seed: str, count: int) -> list[Fact]:
    rng = random.Random(seed)
    kinds = list(FACTS)
    return [draw_fact(kinds[i % 9], TRAINING.person(rng), rng.choice(WORDS["animal"]), rng) for i in range(count)]


def fact(kind: str, *values: str) -> Fact:
    return Fact(kind, dict(zip(FACTS[kind], values, strict=True)))


LEO_CITY = fact("lives", "Leo", "London")
ANA_COW = fact("has", "Ana", "cow")
ANA_GOAT = fact("colour", "Ana", "goat", "white")
ROSA_JOB = fact("job", "Rosa", "writer")
LEO_BREAD = fact("buys", "Leo", "3", "bread")
ANA_EGGS = fact("buys", "Ana", "8", "egg")

# Written by hand: (language, form, fact, sentence). "say" is the first way of saying it.
SENTENCES = [
    ("en", "say", LEO_CITY, "Leo lives in London."),
    ("en", "ask", LEO_BREAD, "How many loaves of bread does Leo buy?"),
    ("en", "they", fact("has", "Ana", "elephant"), "She has an elephant."),
    ("fr", "say", LEO_CITY, "Leo habite à Londres."),
    ("fr", "they", fact("born", "Ana", "Athens"), "Elle est née à Athènes."),
    ("fr", "say", ANA_GOAT, "La chèvre d'Ana est blanche."),
    ("fr", "say", fact("colour", "Leo", "bird", "white"), "L'oiseau de Leo est blanc."),
    ("fr", "ask", fact("knows", "Olga", "Leo"), "Qui est-ce qu'Olga connaît ?"),
    ("fr", "ask", ANA_EGGS, "Combien d'œufs achète Ana ?"),
    ("fr", "answer", ANA_COW, "Une vache."),
    ("es", "say", ANA_GOAT, "La cabra de Ana es blanca."),
    ("es", "ask", fact("buys", "Ana", "4", "apple"), "¿Cuántas manzanas compra Ana?"),
    ("es", "they", ROSA_JOB, "Es escritora."),
    ("pt", "they", ANA_GOAT, "A sua cabra é branca."),
    ("pt", "say", LEO_BREAD, "Leo compra três pães."),
    ("id", "they", ANA_GOAT, "Kambingnya berwarna putih."),
    ("id", "say", ANA_EGGS, "Ana membeli delapan butir telur."),
    ("vi", "they", ANA_GOAT, "Con dê của cô ấy màu trắng."),
    ("vi", "say", LEO_BREAD, "Leo mua ba ổ bánh mì."),
    ("sw", "say", LEO_BREAD, "Leo ananunua mikate mitatu."),
    ("sw", "say", ANA_EGGS, "Ana ananunua mayai manane."),
    ("sw", "ask", ANA_EGGS, "Ana ananunua mayai mangapi?"),
    ("sw", "answer", fact("buys", "Leo", "3", "banana"), "Tatu."),
    ("zh", "say", fact("has", "Leo", "horse"), "里奥有一匹马。"),
    ("zh", "ask", fact("buys", "Ana", "3", "banana"), "安娜买了几根香蕉？"),
    ("ar", "say", LEO_CITY, "يعيش ليو في لندن."),
    ("ar", "say", LEO_BREAD, "يشتري ليو ثلاثة أرغفة."),
    ("ar", "say", ANA_EGGS, "تشتري آنا ثماني بيضات."),
    ("ar", "they", fact("colour", "Leo", "goat", "white"), "عنزته بيضاء."),
    ("hi", "say", LEO_CITY, "लियो लंदन में रहता है।"),
    ("hi", "say", ANA_GOAT, "आना की बकरी सफ़ेद है।"),
    ("hi", "they", fact("colour", "Ana", "dog", "black"), "उसका कुत्ता काला है।"),
    ("hi", "ask", fact("buys", "Ana", "3", "bread"), "आना कितनी रोटियाँ खरीदती है?"),
]

# One slip each: gender, elision, article, number, class, measure word, script.
SLIPS = [
    ("en", "Leo has a elephant."),
    ("en", "leo lives in Oslo."),
    ("en", "Leo live in Oslo."),
    ("fr", "Le chèvre d'Ana est blanche."),
    ("fr", "La chèvre d'Ana est blanc."),
    ("fr", "La chèvre de Ana est blanche."),
    ("fr", "Rosa est écrivain."),
    ("es", "Ana tiene un vaca."),
    ("pt", "Rosa é escritor."),
    ("id", "Ana membeli delapan telur."),
    ("vi", "Ana mua ba quả bánh mì."),
    ("sw", "Leo ananunua mikate matatu."),
    ("sw", "Leo ananunua mayai tatu."),
    ("zh", "里奥有一只马。"),
    ("zh", "安娜 有 一 头 牛。"),
    ("ar", "تعيش ليو في لندن."),
    ("ar", "يشتري ليو ثلاث أرغفة."),
    ("hi", "लियो लंदन में रहती है।"),
    ("hi", "आना का बकरी सफ़ेद है।"),
    ("hi", "Leo lives in Oslo."),
]


@pytest.mark.parametrize(("code", "form", "what", "sentence"), SENTENCES)
def test_the_sentence_is_what_a_speaker_would_write(code: str, form: str, what: Fact, sentence: str) -> None:
    language = LANGUAGES[code]
    if form == "say":
        first = language.sentences[what.kind]["say"][0]
        assert language.fill(first, what.values) == sentence
    else:
        assert language.write(form, what) == sentence


@pytest.mark.parametrize(("code", "slip"), SLIPS)
def test_a_slip_of_grammar_is_noticed(code: str, slip: str) -> None:
    assert LANGUAGES[code].parse(slip) is None


@pytest.mark.slow
@pytest.mark.parametrize("code", CODES)
def test_every_sentence_the_grammar_makes_is_read_back(code: str) -> None:
    language, rng = LANGUAGES[code], random.Random(code)
    for what in facts(code, 90):
        read = language.parse(language.say(what, rng))
        assert read is not None
        # an invented name is read as it is written in the script of the language
        named = {slot: language.word(slot, v).get("one", v) for slot, v in what.values.items()}
        again = {slot: language.word(slot, v).get("one", v) for slot, v in read.values.items() if slot != "person"}
        assert again.items() <= named.items()
        for form in ("they", "ask", "answer"):
            assert language.parse(language.write(form, what)), language.write(form, what)


@pytest.mark.parametrize("code", CODES)
def test_a_language_has_every_kind_of_fact_and_every_word(code: str) -> None:
    language = LANGUAGES[code]
    assert set(language.sentences) == set(FACTS)
    assert {slot: list(words) for slot, words in language.words.items()} == WORDS
    for kind, template in language.templates():
        named = {name for mark in SLOT.finditer(template) for name in (mark["slot"], mark["other"]) if name}
        assert named <= set(FACTS[kind]), template
        assert "{" not in SLOT.sub("", template), template
    for forms in language.sentences.values():
        assert set(forms) == {"say", "they", "ask", "answer"} and forms["say"]


@pytest.mark.parametrize("code", CODES)
def test_two_words_of_a_kind_are_never_the_same(code: str) -> None:
    for slot, words in LANGUAGES[code].words.items():
        plain = [tuple(sorted(forms.items())) for forms in words.values()]
        assert len(set(plain)) == len(plain), slot


@pytest.mark.parametrize("code", CODES)
def test_small_talk_and_the_start_of_a_recap_are_said_and_state_nothing(code: str) -> None:
    language = LANGUAGES[code]
    assert len(set(language.talk)) == 8
    for sentence in (*language.talk, language.again):
        assert language.says(sentence) and language.parse(sentence) is None
    assert not language.says(language.talk[0][1:])


@pytest.mark.parametrize("code", CODES)
def test_a_sentence_names_its_things_where_the_places_say(code: str) -> None:
    language = LANGUAGES[code]
    for what in facts(code, 45):
        for form in ("say", "they", "ask", "answer"):
            template = language.template(form, what)
            sentence = language.fill(template, what.values)
            for start, end, slot in language.places(template, what.values):
                forms = language.word(slot, what.values[slot]).values()
                assert sentence[start:end].lower() in {form.replace(" ", language.gap).lower() for form in forms}


def test_a_sentence_of_one_language_is_no_sentence_of_another() -> None:
    sentence = "Leo habite à Londres."
    assert [code for code in CODES if LANGUAGES[code].parse(sentence)] == ["fr"]
