"""The receipts of one look in several texts: how far what makes a head look there holds in others of their kind."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bloomlab.errors import InputError, NearMatches
from bloomlab.lens.cases import Case, of_texts
from bloomlab.lens.lengths import Progress
from bloomlab.lens.look_receipt import READ, look_receipt
from bloomlab.lens.trials import rows_at_once
from bloomlab.text.tokenizer import BloomTokenizerFast
from bloomlab.tracing.record import record
from bloomlab.weights.pretrained import BloomPreTrainedModel


@dataclass(frozen=True)
class LookReceipts(NearMatches):
    """The score of the same look in several texts, in nats before the bias of its distance.

    Attributes:
        names: the parts, as in `LookReceipt`.
        parts: (text, query part, key part) of each text they sum to its score.
        score: (text) as the model computed it; against another key, the difference.
    """

    names: tuple[str, ...]
    parts: Tensor
    score: Tensor

    @property
    def of_query(self) -> Tensor:
        """(text, part) what each part of the query's state gives."""
        return self.parts.sum(2)

    @property
    def of_key(self) -> Tensor:
        """(text, part) what each part of the key's state gives."""
        return self.parts.sum(1)


def look_receipts(
    model: BloomPreTrainedModel,
    tokenizer: BloomTokenizerFast,
    texts: Sequence[str | Case],
    layer: int,
    head: int,
    query: int,
    key: int,
    against: int | None = None,
) -> Iterator[Progress[LookReceipts]]:
    """The receipt of one look in each text, a batch of texts at a time; with `against`, why not at that key.

    >>> import bloomlab
    >>> lab = bloomlab.load()
    >>> *_, last = look_receipts(lab.model, lab.tokenizer, ["Leo lives in Oslo.", "Ana lives in Lima."], 1, 1, 4, 2)
    >>> last.results[0].parts.shape, (last.done, last.total)
    (torch.Size([2, 12, 12]), (2, 2))

    Raises:
        HookError, InputError: as `look_receipt` does; or the texts have different token counts.
    """
    rows = [tokenizer.encode(case.text) for case in of_texts(texts)]
    counts = {len(row) for row in rows}
    if len(counts) > 1:
        raise InputError(
            f"a look is the same only in texts of as many tokens, but these have {min(counts)} to {max(counts)}; "
            "lab.cases makes texts of one count"
        )
    found = []
    at_once = rows_at_once(model, len(rows[0]))
    for first in range(0, len(rows), at_once):
        some = rows[first : first + at_once]
        trace = record(model, tokenizer, torch.tensor(some), READ)
        for row in range(len(some)):
            one = trace.row(row)
            look = look_receipt(model, one, layer, head, query, key)
            if against is not None:
                look = look.against(look_receipt(model, one, layer, head, query, against))
            found.append(look)
        parts, scores = torch.stack([look.parts for look in found]), torch.tensor([look.score for look in found])
        yield Progress(len(found), len(rows), (LookReceipts(found[0].names, parts, scores),))
