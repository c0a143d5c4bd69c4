"""One sentence of the embedded model's world in several scripts."""

SENTENCES = {
    "en": "Leo lives in Oslo. He has a black cat.",
    "ar": "تعيش ليلى في القاهرة.",
    "zh": "小梅有一只黑猫。",
    "hi": "रवि दिल्ली में रहता है।",
}
