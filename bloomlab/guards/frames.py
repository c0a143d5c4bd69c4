"""Results as tables of pandas, where it is installed: nothing here needs it."""

from importlib import import_module
from typing import Any

from bloomlab.errors import MissingPackageError, NearMatches


def data_frame(rows: Any) -> Any:
    """Rows, or columns by name, as a pandas.DataFrame.

    Raises:
        MissingPackageError: pandas is not installed.
    """
    try:
        pandas = import_module("pandas")
    except ImportError:
        raise MissingPackageError(
            "to_pandas() needs pandas, which is not installed; `pip install pandas`, or read the attributes"
        ) from None
    return pandas.DataFrame(rows)


class InPandas(NearMatches):
    """A result whose rows a table of pandas takes."""

    def records(self) -> list[dict[str, Any]]:
        """The rows, as plain data."""
        raise NotImplementedError

    def to_pandas(self) -> Any:
        """The same as a pandas.DataFrame, a row for each of `records()`.

        Raises:
            MissingPackageError: pandas is not installed.
        """
        return data_frame(self.records())
