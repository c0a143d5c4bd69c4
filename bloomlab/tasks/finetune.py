"""Fine-tuning: show a model examples and step down the gradient of its loss.

    model = BloomForSequenceClassification.from_pretrained(folder, num_labels=10)
    losses = fit(model, (examples(step) for step in range(300)))

`fit` works for every model that returns a loss, whatever its head.
"""

import warnings
from collections.abc import Iterable, Mapping, Sized

import torch
from torch import Tensor
from tqdm import tqdm  # type: ignore[import-untyped]  # it ships no types

from bloomlab.errors import InputError
from bloomlab.guards.progress import without_monitor
from bloomlab.weights.pretrained import BloomPreTrainedModel


def fit(
    model: BloomPreTrainedModel,
    batches: Iterable[Mapping[str, Tensor]],
    learning_rate: float = 1e-3,
    head_learning_rate: float | None = None,
    steps: int | None = None,
    progress: bool = True,
) -> list[float]:
    """Train on each batch once, with AdamW; the learning rate falls to zero in a straight line.

    Args:
        batches: the keyword arguments of each call, labels included.
        learning_rate: for the base model, and for the head unless it has its own.
        head_learning_rate: for all parameters outside the base model. A new head can take larger steps.
        steps: how many batches there are, if `batches` does not say.
        progress: show a bar with the loss and the time left.

    Returns the loss of each step. The model is left in the mode it was in, training or eval. An interrupt ends the
    training but not the program: what was learned stays, with a warning.

    Raises:
        InputError: the model gives no loss for a batch, or a loss that is not finite (nothing is learned from it).
    """
    if steps is None:
        batches = batches if isinstance(batches, Sized) else list(batches)
        steps = len(batches)
    trunk = {id(parameter) for parameter in model.base_model.parameters()}
    head = [parameter for parameter in model.parameters() if id(parameter) not in trunk]
    groups = [
        {"params": list(model.base_model.parameters()), "lr": learning_rate},
        {"params": head, "lr": learning_rate if head_learning_rate is None else head_learning_rate},
    ]
    optimizer = torch.optim.AdamW([group for group in groups if group["params"]], betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, total_iters=max(steps, 1))

    losses: list[float] = []
    was_training = model.training
    bar = without_monitor(tqdm)(batches, total=steps, unit="step", leave=False, disable=not progress)
    try:
        model.train()
        for inputs in bar:
            loss = model(**{name: value.to(model.device) for name, value in inputs.items()}).loss
            if loss is None or not loss.isfinite():
                raise InputError(f"step {len(losses)} has the loss {loss}; check the labels of its batch")
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            schedule.step()
            losses.append(loss.item())
            bar.set_postfix(loss=f"{losses[-1]:.3f}", refresh=False)
    except KeyboardInterrupt:
        warnings.warn(f"interrupted after {len(losses)} of {steps} steps; what was learned stays", stacklevel=2)
    finally:
        bar.close()
        model.train(was_training)
    return losses
