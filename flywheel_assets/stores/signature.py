"""What a registered model takes and gives, as MLflow has it, and a row to try it with.

The row is nobody's: of each number the median.
"""

from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from mlflow.models import ModelSignature


def signature(features: pl.DataFrame, n_outputs: int) -> "ModelSignature":
    """Describe a model that takes these features.

    A whole number that may be unknown is of any type: pandas makes a float of it where it is, and
    MLflow would refuse the one or the other.

    Parameters
    ----------
    features : DataFrame, (n_rows, n_features)
        The training rows.
    n_outputs : int
        Columns of what it expects: one for each action, or one.
    """
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema, TensorSpec

    taken: list[ColSpec | TensorSpec] = [
        ColSpec(_type(features[name]), name, required=False) for name in features.columns
    ]
    given = TensorSpec(np.dtype(np.float64), (-1, n_outputs))
    return ModelSignature(inputs=Schema(taken), outputs=Schema([given]))


def example(features: pl.DataFrame) -> Any:
    """Make up one row, a pandas frame: the median of numbers, no text and no time.

    So nobody's row is kept with a model: a text may be one person's, however many rows have it.
    """
    row = {name: [_made_up(features[name])] for name in features.columns}
    return pl.DataFrame(row, schema=features.schema).to_pandas()


def _made_up(values: pl.Series) -> Any:
    if values.dtype == pl.Boolean:
        return False
    if values.dtype.is_float():
        return values.fill_nan(None).median()
    if values.dtype.is_integer():
        middle = values.cast(pl.Float64).median()
        return round(middle) if isinstance(middle, float) else None
    return None


def _type(values: pl.Series) -> Any:
    from mlflow.types.schema import AnyType, DataType

    dtype = values.dtype
    if dtype == pl.Boolean:
        return DataType.boolean
    if dtype == pl.String:
        return DataType.string
    if dtype.is_float():
        return DataType.double
    if dtype.is_integer() and not values.null_count():
        return DataType.long
    return AnyType()  # type: ignore[no-untyped-call]  # mlflow leaves it out
