"""What is looked for: an entity's keys, in a row, in a text."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import polars as pl

DISTINCT = 6
"""A shorter id cannot be told from other numbers and words: it counts beside its key's name."""
GONE = "forgotten"
_EDGE = "0-9A-Za-z_"
_LETTERS = re.compile(r"[^\W\d_]{2}")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_DAY = r"\d{4}-\d{2}-\d{2}"


@dataclass(frozen=True)
class _Pattern:
    """Something before, and what goes; in the syntax that Python and Polars share."""

    before: str
    core: str
    instead: str

    @property
    def polars(self) -> str:
        """As a pattern without lookaround."""
        return f"(?:^|[^{_EDGE}]){self.before}(?:{self.core})(?:$|[^{_EDGE}])"

    @cached_property
    def python(self) -> re.Pattern[str]:
        return re.compile(f"(?<![{_EDGE}])({self.before})(?:{self.core})(?![{_EDGE}])")


@dataclass(frozen=True)
class Sought:
    """An entity, as it may be written.

    Parameters
    ----------
    keys : mapping of str to str
        Key column -> its value, as text.
    names : mapping of str to sequence of str
        Key column -> what sources call it, itself among them.
    flywheels : mapping of str to sequence of str
        Flywheel -> the key columns that its decisions are about, those sought among them.
    texts : sequence of str
        Words of its payload that nobody else has.

    Examples
    --------
    >>> key = ["customer_id"]
    >>> anna = Sought({"customer_id": "17"}, {"customer_id": key}, {"shop": key})
    >>> [anna.mentioned(t) for t in ('{"customer_id": 17}', "shop:2026-01-31:17", "17 apples")]
    [True, True, False]
    >>> anna.scrubbed('{"customer_id": 17, "apples": 17}')
    '{"customer_id": 0, "apples": 17}'
    """

    keys: Mapping[str, str]
    names: Mapping[str, Sequence[str]]
    flywheels: Mapping[str, Sequence[str]] = field(default_factory=dict)
    texts: Sequence[str] = ()

    def also(self, texts: Sequence[str]) -> "Sought":
        """Look for these words of their payload, too."""
        return replace(self, texts=texts)

    @property
    def is_distinct(self) -> bool:
        """Whether each id is long enough to be known wherever it stands."""
        return all(len(value) >= DISTINCT for value in self.keys.values())

    def rows(self, schema: Mapping[str, Any]) -> pl.Expr:
        """Say which rows of a table are theirs: by key columns, or by what a text says."""
        found = []
        if self.keys.keys() <= schema.keys():
            found.append(
                pl.all_horizontal(pl.col(k).cast(pl.String) == v for k, v in self.keys.items())
            )
        for name, dtype in schema.items():
            if dtype == pl.String:
                found.append(self.in_text(pl.col(name)))
                if name == "record":
                    found.append(self._in_unnamed(pl.col(name)))
        return (
            pl.any_horizontal(e.fill_null(value=False) for e in found)
            if found
            else pl.lit(value=False)
        )

    def in_text(self, text: pl.Expr) -> pl.Expr:
        """Say which texts mention them."""
        each = pl.all_horizontal(
            pl.any_horizontal(text.str.contains(p.polars) for p in one) for one in self._by_key
        )
        return pl.any_horizontal(each, *(text.str.contains(p.polars) for p in self._whole))

    def may_be_in(self, content: bytes) -> bool:
        """Say quickly whether it is worth while to look closer."""
        return bool(self.texts) or all(
            any(form.encode() in content for form in _forms(value)) for value in self.keys.values()
        )

    def among(self, contents: Iterable[str]) -> "Sought":
        """Look only for those words of their payload that occur; there may be thousands."""
        if not self.texts:
            return self
        forms = {form: text for text in self.texts for form in _forms(text)}
        there: set[str] = set()
        for content in contents:
            found = pl.Series([content]).str.extract_many(list(forms), overlapping=True)
            there.update(forms[form] for form in found.explode().drop_nulls().unique())
        return self.also(sorted(there))

    def mentioned(self, text: str) -> bool:
        """Say whether a text mentions them; of texts, after `among`."""
        if any(p.python.search(text) for p in self._whole):
            return True
        return all(any(p.python.search(text) for p in one) for one in self._by_key)

    def in_raw(self, text: str) -> bool:
        """Say whether a raw record is theirs; also one that is too broken to name its key."""
        bare = (
            re.search(rf"(?<![{_EDGE}])(?:{_written(value)})(?![{_EDGE}])", text)
            and not any(name in text for name in self.names[key])
            for key, value in self.keys.items()
        )
        return self.mentioned(text) or all(bare)

    def scrubbed(self, text: str) -> str:
        """Put something else where a text mentions them; what is JSON stays JSON."""
        for pattern in self._whole:
            text = pattern.python.sub(rf"\g<1>{pattern.instead}", text)
        if all(any(p.python.search(text) for p in one) for one in self._by_key):
            for pattern in (p for one in self._by_key for p in one):
                text = pattern.python.sub(rf"\g<1>{pattern.instead}", text)
        return text

    def numbers(self) -> list[bytes]:
        """Give whole numbers among the ids as they are stored, in eight bytes."""
        whole = [int(v) for v in self.keys.values() if re.fullmatch(r"-?\d{6,18}", v)]
        return [n.to_bytes(8, "little", signed=True) for n in whole]

    def _in_unnamed(self, record: pl.Expr) -> pl.Expr:
        """Look for bare ids in a raw record that does not name the key: a broken line, say."""
        found = []
        for key, value in self.keys.items():
            bare = _Pattern("", _written(value), "")
            named = "|".join(re.escape(name) for name in self.names[key])
            found.append(record.str.contains(bare.polars) & ~record.str.contains(named))
        return pl.all_horizontal(found)

    @cached_property
    def _by_key(self) -> list[list[_Pattern]]:
        return [self._of_key(key, value) for key, value in self.keys.items()]

    def _of_key(self, key: str, value: str) -> list[_Pattern]:
        core = _written(value)
        instead = "0" if re.fullmatch(r"-?\d+", value) else GONE
        if len(value) >= DISTINCT:
            return [_Pattern("", core, instead)]
        names = "|".join(re.escape(name) for name in self.names[key])
        return [
            _Pattern(rf"(?:{names})\W{{1,4}}", core, instead),
            _Pattern(rf"(?:{names}): expected [^;]*found ", core, instead),
        ]

    @cached_property
    def _whole(self) -> list[_Pattern]:
        decisions = [
            _Pattern(f"{name}:{_DAY}:", r"\|".join(map(self._part, columns)), GONE)
            for name, columns in self.flywheels.items()
        ]
        return [*decisions, *(_Pattern("", _written(text), GONE) for text in self.texts)]

    def _part(self, column: str) -> str:
        return f"(?:{_written(self.keys[column])})" if column in self.keys else r'[^|"\s]*'


def _forms(value: str) -> list[str]:
    """Write a text as it is, and as it stands in JSON, and in JSON in JSON."""
    forms = [value]
    for _ in range(2):
        forms += [json.dumps(f, ensure_ascii=a)[1:-1] for f in forms for a in (False, True)]
    return list(dict.fromkeys(forms))


def _written(value: str) -> str:
    return "|".join(map(re.escape, _forms(value)))


def own_texts(theirs: Iterable[str | None], others: Iterable[str | None]) -> list[str]:
    """Choose the words of a payload that nobody else has, and that can be nothing else.

    What is short, or could be a number, a time, or the name of a table or a column, is left out.

    Examples
    --------
    >>> own_texts(["24 Anna's Lane", "High Street", "2026-01-31", "visitor", None], ["High Street"])
    ["24 Anna's Lane"]
    """
    told = {t for t in theirs if t is not None and len(t) >= DISTINCT}
    told = {t for t in told if _LETTERS.search(t) and not _NAME.fullmatch(t)}
    return sorted(told - set(others))
