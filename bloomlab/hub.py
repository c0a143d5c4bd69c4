"""From the name of a model to the folder that holds its files."""

import os
from pathlib import Path

from bloomlab.errors import BloomlabError, InputError


def local_folder(name_or_folder: str | os.PathLike[str], error: type[BloomlabError]) -> Path:
    """The folder of this name on this machine.

    Raises:
        InputError: the name is not a text or a path.
        error: there is no such folder.
    """
    if not isinstance(name_or_folder, str | os.PathLike) or not os.fspath(name_or_folder):
        raise InputError(f"expected the name of a folder, but got {name_or_folder!r}; pass a path")
    try:
        folder = Path(name_or_folder).expanduser()
        if folder.is_dir():
            return folder
        kind = "a file" if folder.exists() else "nothing"
    except (OSError, ValueError, RuntimeError):  # a name too long, or with a NUL, or of an unknown user
        kind = "no possible name of a folder"
    hint = "name its folder" if kind == "a file" else "check the path; downloading a model by its name is not offered"
    raise error(f"expected a folder with the files of a model, but {str(name_or_folder)[:200]!r} is {kind}; {hint}")
