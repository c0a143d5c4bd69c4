"""What lessons 00 and 09 say in French and Spanish of their story, which stays English there."""

from typing import NamedTuple

from bloomlab import Lab, copied, zero
from bloomlab.hooks import Edit
from bloomlab.tiny.language import LANGUAGES
from bloomlab.tiny.pairs import told
from tests.claims.claim import claim
from tests.claims.said_00_welcome import MARK, silenced
from tests.claims.stories import Recap, one_token, recaps

STORIES = 8


class Words(NamedTuple):
    """What the translations of the lessons say, and the sentences that the stories are tried with."""

    own_line: str
    line_alone: str
    no_head: str
    some_sentences: str
    works: str
    fails: str


SAID = {
    "fr": Words(
        "En français, le petit modèle ne remarque une reprise que sur une ligne à part",
        "le passage à la ligne suffit à l'annoncer",
        "aucune tête des trois premières couches n'y manque autant que celle que vous allez trouver",
        "en français, les seize nombres de l'interrupteur, à la fin, n'agissent qu'après certaines phrases",
        " Quelqu'un rit.",
        " chat.",
    ),
    "es": Words(
        "En español, el modelo pequeño solo nota una repetición en una línea aparte",
        "el salto de línea basta para anunciarla",
        "ninguna cabeza de las tres primeras capas hace tanta falta como la que vas a encontrar",
        "en español, los dieciséis números del interruptor, al final, solo actúan después de ciertas frases",
        " Se abre una puerta.",
        " gato.",
    ),
}


def tries(lab: Lab, code: str) -> list[Recap]:
    """Stories whose city is one token in a language, too."""
    spelled = LANGUAGES[code].word
    return [each for each in recaps(lab, 2 * STORIES) if one_token(lab, [spelled("city", each.city)["one"]])][:STORIES]


def text(code: str, story: Recap, announced_by: str) -> str:
    """A story in a language that is told again after these words."""
    language = LANGUAGES[code]
    whole = told(language, "lives", "\n", story.name, story.animal, story.city)
    return whole.replace(f"\n{language.again} ", f"{announced_by} " if announced_by.strip() else announced_by)


def chance(lab: Lab, code: str, story: Recap, announced_by: str, edit: dict[str, Edit] | None = None) -> float:
    """How likely its city is to come next."""
    probs = lab.trace(text(code, story, announced_by), ["logits"], edit=edit)["logits"][0, -1].softmax(-1)
    return float(probs[lab.tokens(f" {LANGUAGES[code].word('city', story.city)['one']}")[0].id])


def chances(lab: Lab, code: str, announced_by: str, edit: dict[str, Edit] | None = None) -> list[float]:
    return [chance(lab, code, story, announced_by, edit) for story in tries(lab, code)]


def mean_with_the_mark(lab: Lab, code: str, plain: str) -> float:
    """p(city) after a sentence that announces nothing, with head 0.1's numbers from the stop after the announcement."""

    def stop(words: str) -> int:
        return max(place for place, token in enumerate(lab.tokens(words)) if token.text == ".")

    found = []
    for story in tries(lab, code):
        announced, bare = text(code, story, f"\n{LANGUAGES[code].again}"), text(code, story, plain)
        edit: dict[str, Edit] = {MARK: copied(announced, columns=stop(announced), head=1, query=stop(bare))}
        found.append(chance(lab, code, story, plain, edit))
    return sum(found) / len(found)


def most_missed(lab: Lab, code: str) -> float:
    """What p(city) loses on average without that head of layers 0, 1 and 2 which is missed most."""
    again = f"\n{LANGUAGES[code].again}"
    whole = sum(chances(lab, code, again))
    each = [
        sum(chances(lab, code, again, {f"h.{layer}.attn.mixed": zero(head=head)}))
        for layer in range(3)
        for head in range(lab.model.config.n_head)
    ]
    return (whole - min(each)) / STORIES


def say(code: str) -> None:
    """The claims of one language."""
    words, again = SAID[code], LANGUAGES[code].again
    welcome, interventions = (f"notebooks/languages/{code}/{name}.po" for name in ("00_welcome", "09_interventions"))

    def on_its_own_line(lab: Lab) -> tuple[list[float], list[float]]:
        return chances(lab, code, f"\n{again}"), chances(lab, code, f" {again}")

    def by_the_line_alone(lab: Lab) -> tuple[list[float], list[float]]:
        return chances(lab, code, "\n"), chances(lab, code, " ")

    def no_head_is_missed(lab: Lab) -> tuple[float, float]:
        english = recaps(lab, STORIES)
        lost = sum(chance(lab, "en", story, f" {LANGUAGES['en'].again}") for story in english) - sum(
            silenced(lab, 0, 1)
        )
        return lost / STORIES, most_missed(lab, code)

    def after_some_sentences(lab: Lab) -> tuple[float, float]:
        return mean_with_the_mark(lab, code, words.works), mean_with_the_mark(lab, code, words.fails)

    for measure in (on_its_own_line, by_the_line_alone, no_head_is_missed, after_some_sentences):
        measure.__name__ += f"_{code}"
    claim(
        words.own_line,
        said_in=welcome,
        value="p(city), the recap on a line of its own, 8 stories",
        control="the recap on the same line",
        holds=lambda value, control: min(value) > 0.9 and max(control) < 0.2,
    )(on_its_own_line)
    claim(
        words.line_alone,
        said_in=welcome,
        value="p(city) after a new line and no announcement, 8 stories",
        control="on the same line, with no announcement",
        holds=lambda value, control: min(value) > 0.6 and max(control) < 0.2,
    )(by_the_line_alone)
    claim(
        words.no_head,
        said_in=welcome,
        value="p(city) lost in English without head 1 of layer 0, mean of 8 stories",
        control="lost here without the most missed of the 24 heads of layers 0, 1 and 2",
        holds=lambda value, control: value[0] > 0.6 and control[0] < 0.3,
    )(no_head_is_missed)
    claim(
        words.some_sentences,
        said_in=interventions,
        value=f"p(city) with the 16 numbers after “{words.works.strip()}”, mean of 8 stories",
        control=f"after “{words.fails.strip()}”",
        holds=lambda value, control: value[0] > 0.25 and control[0] < 0.15,
    )(after_some_sentences)


for language in SAID:
    say(language)
