"""The licence of everything that bloomlab needs: `python -m tests.supply.licences`, or as a file in any environment.

What a package says of itself is all that is known here: its licence expression, else its classifier, else its words.
"""

import re
import sys
from importlib.metadata import PackageNotFoundError, distribution

# What may be used, changed and passed on with bloomlab's own, Apache 2.0; MPL-2.0 holds for its own files only.
ALLOWED = r"MIT|BSD|Apache|ISC|PSF|Python Software Foundation|MPL|Mozilla|0BSD|Zlib|CC0|BSL-1\.0|Unlicense"


def needed(name: str = "bloomlab") -> list[str]:
    """The packages that one needs here, and those that they need."""
    from packaging.requirements import Requirement

    found: dict[str, None] = {}
    to_do = [name]
    while to_do:
        each = re.sub(r"[-_.]+", "-", to_do.pop()).lower()
        if each in found:
            continue
        try:
            lines = distribution(each).requires or []
        except PackageNotFoundError:  # of another system, or another Python
            continue
        found[each] = None
        wanted = [Requirement(line) for line in lines]
        to_do += [one.name for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    return sorted(found)


def licence(name: str) -> str:
    """What a package says its licence is; "" if it says nothing.

    >>> licence("bloomlab").split(" AND ")[0]  # then that of the slides it can make
    'Apache-2.0'
    """
    about = distribution(name).metadata
    said = str(about.get("License-Expression") or "")
    classes = [line.split(" :: ")[-1] for line in about.get_all("Classifier") or [] if line.startswith("License :: ")]
    words = str(about.get("License") or "").strip().partition("\n")[0]
    return said or "; ".join(classes) or ("" if words == "UNKNOWN" else words)


def allowed(words: str) -> bool:
    """Whether each licence in these words is one that may be passed on with bloomlab.

    >>> allowed("MIT AND Zlib"), allowed("GPL-3.0-only"), allowed("")
    (True, False, False)
    """
    parts = [part.strip() for part in re.split(r"\bAND\b|;|\bOR\b", words)]
    return all(re.search(rf"\b({ALLOWED})", part) and not re.search(r"\bA?GPL", part) for part in parts)


def main() -> int:
    names = needed()
    for name in names:
        words = licence(name)
        mark = "" if allowed(words) else "   ← look at this"
        print(f"{name:<28}{distribution(name).version:<14}{words or '?'}{mark}")
    return int(not all(allowed(licence(name)) for name in names))


if __name__ == "__main__":
    sys.exit(main())
