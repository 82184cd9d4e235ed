"""A table's columns as they are declared now, and how data from before is read as these."""

from collections.abc import Iterable, Mapping
from typing import Any

from flywheel_assets.declare.field import Field


class Columns(dict[str, Any]):
    """Column -> Polars data type, with what older data calls a column and has for one it lacks.

    Parameters
    ----------
    types : mapping of str to data type
    fields : iterable of Field
        Those that are columns of the table under their own names.

    Examples
    --------
    >>> import polars as pl
    >>> net = Field(name="net", dtype=pl.Int64, old_names=("amount",), description="Net.")
    >>> Columns({"net": pl.Int64()}, [net]).old_names
    {'net': ('amount',)}
    """

    def __init__(self, types: Mapping[str, Any], fields: Iterable[Field] = ()) -> None:
        super().__init__(types)
        mine = [f for f in fields if f.name in self]
        self.old_names = {f.name: f.old_names for f in mine if f.old_names}
        self.defaults = {f.name: f.default for f in mine if f.fills}
