"""How the keys of an entity stand together in one text, joined by a bar, as in a ``decision_id``.

What is within a key and would be read as a bar is written otherwise, as a JSON pointer does it, so
that other keys are another text. Any other key, and one that is alone, stands as it is.
"""

import re

import polars as pl

SEPARATOR = "|"
_WRITTEN_BAR = "~1"
_LIKE_WRITTEN = r"~([01])"


def joined(keys: list[pl.Expr]) -> pl.Expr:
    """Write columns of text as one.

    Examples
    --------
    >>> frame = pl.DataFrame({"who": ["x|y", "x", "~1"], "what": ["z", "y|z", "a~b"]})
    >>> frame.select(joined([pl.col("who"), pl.col("what")])).to_series().to_list()
    ['x~1y|z', 'x|y~1z', '~01|a~b']
    """
    return pl.concat_str([part(key) for key in keys] if len(keys) > 1 else keys, separator="|")


def part(key: pl.Expr) -> pl.Expr:
    """Write a column of text as it stands beside other keys."""
    kept = key.str.replace_all(_LIKE_WRITTEN, "~0${1}")
    return kept.str.replace_all(SEPARATOR, _WRITTEN_BAR, literal=True)


def written(key: str) -> str:
    """Write a key as it stands beside others.

    Examples
    --------
    >>> written("x|y"), read(written("x|y"))
    ('x~1y', 'x|y')
    """
    return re.sub(_LIKE_WRITTEN, r"~0\1", key).replace(SEPARATOR, _WRITTEN_BAR)


def read(text: str) -> str:
    """Read what `written` wrote."""
    return re.sub(_LIKE_WRITTEN, lambda found: "~|"[int(found[1])], text)
