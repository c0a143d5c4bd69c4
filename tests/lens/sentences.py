"""The same two facts, as the embedded model's world says them in four scripts."""

SENTENCES = {
    "en": "Ana lives in Jakarta. Ana has a cat.",
    "ar": "تعيش آنا في جاكرتا. لدى آنا قطة.",
    "zh": "安娜住在雅加达。安娜有一只猫。",
    "hi": "आना जकार्ता में रहती है। आना के पास एक बिल्ली है।",
}
