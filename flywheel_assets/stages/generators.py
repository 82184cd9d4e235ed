"""Generators: which items are suggested to whom, and how strongly."""

from collections.abc import Sequence
from datetime import datetime

import numpy as np
import polars as pl

from flywheel_assets.declare.candidates import Generator
from flywheel_assets.declare.features import Aggregation
from flywheel_assets.point_in_time import snapshot
from flywheel_assets.stages.inclusion import Bools
from flywheel_assets.stages.predicted import Floats

_N, _LAST = "rows_in_window", "last_in_window"
_CELLS = 4_000_000
"""How many scores of entities x items are held at once, 32 MB."""
_FEW_ITEMS = 4_000
"""So many items times themselves are held as a matrix of at most 128 MB; of more, what is there."""


def suggested(
    generator: Generator,
    rows: pl.DataFrame,
    entities: pl.DataFrame,
    keys: Sequence[str],
    as_of: datetime,
) -> pl.DataFrame:
    """Suggest items to entities.

    Parameters
    ----------
    rows : DataFrame
        Of the generator's fact; more than its window needs does no harm.
    entities : DataFrame, (n_entities, 1)
        Whom to suggest to, each once.
    keys : sequence of str
        The entity's key and the item's.
    as_of : datetime
        What was known before it counts.

    Returns
    -------
    DataFrame
        The keys and the strength, under the generator's name; at most ``n`` rows for each entity,
        each pair once. Of items that are equally strong the first in their own order are taken.
    """
    asked = (
        Aggregation(name=_N, function="count", window=generator.window, where=generator.where),
        Aggregation(
            name=_LAST,
            function="max",
            column="event_time",
            window=generator.window,
            where=generator.where,
        ),
    )
    pairs = snapshot(rows, [as_of], asked, by=keys).filter(pl.col(_N) > 0)
    make = {"popular": _popular, "recent": _recent, "co_occurrence": _co_occurrence}
    found = make[generator.kind](pairs, entities, keys, generator)
    return found.select(*keys, pl.col(generator.name).cast(pl.Float64))


def _popular(
    pairs: pl.DataFrame, entities: pl.DataFrame, keys: Sequence[str], generator: Generator
) -> pl.DataFrame:
    item = keys[1]
    counted = pairs.group_by(item).agg(pl.len().alias(generator.name))
    best = counted.sort(generator.name, item, descending=[True, False]).head(generator.n)
    return entities.join(best, how="cross")


def _recent(
    pairs: pl.DataFrame, entities: pl.DataFrame, keys: Sequence[str], generator: Generator
) -> pl.DataFrame:
    own, item = keys
    mine = pairs.join(entities, on=own, how="semi").sort(_LAST, item, descending=[True, False])
    place = pl.int_range(pl.len()).over(own)
    age = (pl.col("as_of") - pl.col(_LAST)).dt.total_microseconds() / 86_400_000_000
    return mine.filter(place < generator.n).with_columns((-age).alias(generator.name))


def _co_occurrence(
    pairs: pl.DataFrame, entities: pl.DataFrame, keys: Sequence[str], generator: Generator
) -> pl.DataFrame:
    from scipy.sparse import csr_array, diags_array

    own, item = keys
    items = pairs.select(item).unique().sort(item).with_row_index("_item")
    owners = pairs.select(own).unique().sort(own).with_row_index("_own")
    coded = pairs.select(own, item).join(owners, on=own, maintain_order="left")
    coded = coded.join(items, on=item, maintain_order="left")
    places = (coded["_own"].to_numpy(), coded["_item"].to_numpy())
    shape = (owners.height, items.height)
    has = csr_array((np.ones(coded.height), places), shape=shape)
    scale = diags_array(1.0 / np.sqrt(np.maximum(has.sum(axis=0), 1.0)))
    cosine = (scale @ (has.T @ has) @ scale).tocsr()
    similar = cosine.toarray() if items.height <= _FEW_ITEMS else cosine
    asked = owners.join(entities, on=own, how="semi", maintain_order="left")["_own"].to_numpy()
    length = max(1, _CELLS // max(items.height, 1))
    frames = [pl.DataFrame(schema={own: pairs.schema[own], item: pairs.schema[item]})]
    frames[0] = frames[0].with_columns(pl.lit(0.0).alias(generator.name))
    for start in range(0, len(asked), length):
        block = has[asked[start : start + length]]
        found = block @ similar
        strength = found if isinstance(found, np.ndarray) else found.toarray()
        strength[block.nonzero()] = 0.0
        who, what = np.nonzero(_best(strength, generator.n))
        frames.append(
            pl.DataFrame(
                [
                    owners[own].gather(asked[start + who]),
                    items[item].gather(what),
                    pl.Series(generator.name, strength[who, what]),
                ]
            )
        )
    return pl.concat(frames)


def _best(strength: Floats, n: int) -> Bools:
    """Mark the n strongest above zero in each row; of equals the first."""
    n_items = strength.shape[1]
    if n >= n_items:
        return strength > 0.0
    last = np.partition(strength, n_items - n, axis=1)[:, n_items - n, None]
    above = strength > last
    level = (strength == last) & (strength > 0.0)
    left = n - above.sum(axis=1, keepdims=True)
    kept: Bools = above | (level & (np.cumsum(level, axis=1) <= left))
    return kept
