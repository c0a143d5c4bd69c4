"""A lab that answers with the call it got, so that a test sees what `%bloom` asked for."""

from typing import Any


class EchoLab:
    code = "lab = bloomlab.load()"

    def __getattr__(self, verb: str) -> Any:
        if verb.startswith("_"):
            raise AttributeError(verb)
        return lambda *texts, **options: (verb, *texts, options)
