"""What is really on the screen: colours read back as probabilities."""

import io

import matplotlib
import numpy as np
from PIL import Image
from playwright.sync_api import Locator, expect

import bloomlab

CIVIDIS = (matplotlib.colormaps["cividis"](np.arange(256))[:, :3] * 255).round().astype(int)


def probabilities(lab: bloomlab.Lab, text: str) -> np.ndarray:
    """(layer, head, query, key)"""
    probs: np.ndarray = lab.trace(text, read=["attn.probs"]).stack("attn.probs")[:, 0].numpy()
    return probs


def steps_apart(colour: np.ndarray, p: float) -> float:
    """How many steps of cividis lie between a colour and that of a probability, by matplotlib's own table.

    Two of the 256 steps are the same colour: then the nearer one counts.
    """
    distance = np.abs(CIVIDIS - colour[:3].astype(int)).sum(1)
    assert distance.min() <= 3, f"{colour} is no colour of cividis"
    return float(np.abs(np.flatnonzero(distance == distance.min()) - 255 * p**0.5).min())


def painted(canvas: Locator) -> np.ndarray:
    """What is on the screen where an element is, once it has come to rest: (height, width, colour)."""
    now = canvas.screenshot()
    for _ in range(20):
        before, now = now, canvas.screenshot()
        if now == before:
            break
        canvas.page.wait_for_timeout(100)
    return np.asarray(Image.open(io.BytesIO(now)).convert("RGB"))


def some_cells(tokens: int, seed: int = 0, count: int = 10) -> list[tuple[int, int]]:
    """A few cells of the causal half, away from the last row, which is selected and so has a frame."""
    random = np.random.default_rng(seed)
    queries = random.integers(1, tokens - 1, count)
    return [(int(query), int(random.integers(0, query + 1))) for query in queries]


def check_matrix(root: Locator, probs: np.ndarray) -> None:
    """Ten cells of the large matrix show one head's (query, key) probabilities, to one step of colour."""
    root.page.mouse.move(0, 0)
    picture = painted(root.locator("[data-part=canvas]"))
    tokens = len(probs)
    for query, key in some_cells(tokens):
        y, x = (int((place + 0.5) * side / tokens) for place, side in zip((query, key), picture.shape, strict=False))
        assert steps_apart(picture[y, x], probs[query, key]) <= 1.0, (query, key)


def check_thumbnails(root: Locator, probs: np.ndarray, count: int = 10) -> None:
    """A cell in each of so many thumbnails shows (layer, head, query, key) probabilities, to one step of colour."""
    layers, heads, tokens, _ = probs.shape
    for number, (query, key) in enumerate(some_cells(tokens, 1, count)):
        layer, head = number % layers, (3 * number + 1) % heads
        thumbnail = root.locator(f"[data-part=heads] [data-layer='{layer}'][data-head='{head}'] canvas")
        colour = thumbnail.evaluate(
            "(canvas, [x, y]) => [...canvas.getContext('2d').getImageData(x, y, 1, 1).data]", [key, query]
        )
        assert colour[3] == 255
        assert steps_apart(np.array(colour), probs[layer, head, query, key]) <= 1.0
        seen = painted(thumbnail)
        assert len(np.unique(seen.reshape(-1, 3), axis=0)) > 2, "nothing of it is on the screen"


def type_text(root: Locator, text: str) -> None:
    """Type a text and wait for its picture."""
    drawn = root.get_attribute("data-drawn") or ""
    root.locator("[data-part=text]").fill(text)
    expect(root).not_to_have_attribute("data-drawn", drawn)
    expect(root).to_have_attribute("data-state", "ready")
