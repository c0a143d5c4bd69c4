"""The exercises of the lessons: a check looks at an answer and says what it shows, or where to look next.

    from bloomlab import checks
    checks.half_weight(20, slope)          Well done: … or Not yet: …
    checks.cover("How many?", count)       asks for a prediction, then shows it beside the answer

parts.py has the checks of lessons 01 to 06, about the parts of the model; by_hand.py small ones of 01 to 07;
head_lines.py that of each line of 03; training.py those of 02b; use.py those of 07 to 12 and 15, about using it;
counted.py small ones of 08, 10 and 11; why.py those of 10b and 10c; scale.py those of 13, about size and what it
hides; lengths.py those of 14, about long texts;
covers.py the cover; guesses.py reads what was predicted from a saved notebook: checks.report("lesson.ipynb").
checks.report(name="Leo") writes what Leo did as one file to hand in (record.py, handin.py), and class_table.py reads
the files of a class.
No check raises for a wrong answer: a wrong answer is what it is for.
"""

from bloomlab.checks.by_hand import (
    bend,
    cosine,
    costs_more,
    has_token,
    heated,
    kept_by_top_p,
    mlp_numbers,
    state_after,
    table_size,
)
from bloomlab.checks.class_table import class_of
from bloomlab.checks.counted import all_outside, head_size, looks_back, most_risen, points, worst_tag
from bloomlab.checks.covers import cover, language
from bloomlab.checks.guesses import report
from bloomlab.checks.head_lines import head_line
from bloomlab.checks.lengths import beyond_chance, farthest_heard, rotary_score, stretched
from bloomlab.checks.parts import attention, half_weight, layer_norm, most_common_pair, neuron_off, wrote
from bloomlab.checks.scale import grams_a_kilowatt_hour, hesitates, rare_enough, straight
from bloomlab.checks.training import downhill, follows, learning_rate, nudge, surprise
from bloomlab.checks.use import (
    columns_computed,
    enough_tokens,
    forbidden,
    guess_among,
    says_instead,
    tells_people_apart,
    tokens_that_fit,
    wishes,
)
from bloomlab.checks.verdict import Verdict
from bloomlab.checks.why import differs_most, in_every, lead_lost, rival_for
from bloomlab.notebook.unrun_cells import explain_missing_names

__all__ = [
    "Verdict",
    "all_outside",
    "attention",
    "bend",
    "beyond_chance",
    "class_of",
    "columns_computed",
    "cosine",
    "costs_more",
    "cover",
    "differs_most",
    "downhill",
    "enough_tokens",
    "farthest_heard",
    "follows",
    "forbidden",
    "grams_a_kilowatt_hour",
    "guess_among",
    "half_weight",
    "has_token",
    "head_line",
    "head_size",
    "heated",
    "hesitates",
    "in_every",
    "kept_by_top_p",
    "language",
    "layer_norm",
    "lead_lost",
    "learning_rate",
    "looks_back",
    "mlp_numbers",
    "most_common_pair",
    "most_risen",
    "neuron_off",
    "nudge",
    "points",
    "rare_enough",
    "report",
    "rival_for",
    "rotary_score",
    "says_instead",
    "state_after",
    "straight",
    "stretched",
    "surprise",
    "table_size",
    "tells_people_apart",
    "tokens_that_fit",
    "wishes",
    "worst_tag",
    "wrote",
]

explain_missing_names()  # a lesson has begun: its kernel says what to do about a cell that was run too early
