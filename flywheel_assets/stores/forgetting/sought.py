"""What is looked for: an entity's keys, in a row, in a text."""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import polars as pl

from flywheel_assets.declare.entity_ids import written

DISTINCT = 6
"""A shorter id cannot be told from other numbers and words: it counts beside its key's name."""
GONE = "forgotten"
_EDGE = "0-9A-Za-z_"
_LETTERS = re.compile(r"[^\W\d_]{2}")
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_DAY = r"\d{4}-\d{2}-\d{2}"
_NUMBER = r"-?\d+(?:\.\d+)?"
_TIME = r"\d\d:\d\d(?::\d\d(?:\.\d+)?)?(?:Z|\b)"
NOT_IDS = "|".join(
    (
        rf"^\s*{_NUMBER}\s*$",
        rf"[\"']\s*:\s*\\*[\"']?{_NUMBER}\\*[\"']?\s*(?:[,}}\]]|$)",
        rf"\b\d{{4}}[-/]\d\d?[-/]\d\d?(?:[T ]{_TIME}|\b)",
        r"\b\d\d?[-/.]\d\d?[-/.]\d{2,4}\b",
        rf"\b{_TIME}",
        r"\b\d+\.\d*[1-9]\d*\b",
    )
)
"""Numbers that are no ids, unless a key's name stands beside: what is a number as a whole, in a
column or in a field of JSON; dates, times, and what has decimals."""
PULLED = {"until", "cursor", "record"}
"""Of a table with these columns the cursor is nobody's: it says where a read ended."""


@dataclass(frozen=True)
class _Pattern:
    """Something before, and what goes; in the syntax that Python and Polars share.

    A ``free`` one does not count within `NOT_IDS`.
    """

    before: str
    core: str
    instead: str
    free: bool = False

    @property
    def polars(self) -> str:
        """Without lookaround; of a free one, for what is left without `NOT_IDS`."""
        return f"(?:^|[^{_EDGE}]){self.before}(?:{self.core})(?:$|[^{_EDGE}])"

    def found(self, text: str) -> bool:
        """Say whether a text has it."""
        return any(match["kept"] is None for match in self._python.finditer(text))

    def put_instead(self, text: str) -> str:
        """Put something else for what goes."""
        return self._python.sub(
            lambda m: m[0] if m["kept"] is not None else m["before"] + self.instead, text
        )

    @cached_property
    def _python(self) -> re.Pattern[str]:
        kept = NOT_IDS if self.free else "(?!)"
        return re.compile(
            f"(?P<kept>{kept})|(?<![{_EDGE}])(?P<before>{self.before})(?:{self.core})(?![{_EDGE}])"
        )


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
    integers : set of str
        The key columns that are declared as whole numbers: 017 and 17.0 are 17.

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
    integers: frozenset[str] = frozenset()

    def also(self, texts: Sequence[str]) -> "Sought":
        """Look for these words of their payload, too."""
        return replace(self, texts=texts)

    def rows(self, schema: Mapping[str, Any]) -> pl.Expr:
        """Say which rows of a table are theirs: by key columns, or by what a text says."""
        found, keyed = [], self.keys.keys() <= schema.keys()
        if keyed:
            found.append(pl.all_horizontal(self.is_key(pl.col(k), k, schema[k]) for k in self.keys))
        for name, dtype in schema.items():
            decided = (keyed and name in self.keys) or (
                name == "cursor" and schema.keys() >= PULLED
            )
            if dtype == pl.String and not decided:
                found.append(self.in_text(pl.col(name), name))
                if name == "record":
                    found.append(self._in_unnamed(pl.col(name)))
        return (
            pl.any_horizontal(e.fill_null(value=False) for e in found)
            if found
            else pl.lit(value=False)
        )

    def is_key(self, column: pl.Expr, key: str, dtype: Any) -> pl.Expr:
        """Say where a key's column has their value, as collect would read it."""
        if key in self.integers and not dtype.is_integer():
            return column.cast(pl.Float64, strict=False) == int(self.keys[key])
        return column.cast(pl.String) == self.keys[key]

    def in_text(self, text: pl.Expr, column: str = "") -> pl.Expr:
        """Say which texts mention them, of a column of that name."""
        text = pl.lit(f"{column}: ") + text if self._names_key(column) else text
        free = self._free(text)
        each = pl.all_horizontal(
            pl.any_horizontal((free if p.free else text).str.contains(p.polars) for p in one)
            for one in self._by_key
        )
        return pl.any_horizontal(each, *(text.str.contains(p.polars) for p in self._whole))

    def may_be_in(self, content: bytes) -> bool:
        """Say quickly whether it is worth while to look closer."""
        return bool(self.texts) or all(
            any(form.encode() in content for form in forms) for forms in self._all_forms
        )

    def _may_be_in(self, text: str) -> bool:
        return bool(self.texts) or all(
            any(form in text for form in forms) for forms in self._all_forms
        )

    @cached_property
    def _all_forms(self) -> list[list[str]]:
        return [_forms(value) for value in self.keys.values()]

    def _free(self, text: pl.Expr) -> pl.Expr:
        """Leave `NOT_IDS` out of the few texts that have an id; of the others nothing is left."""
        words = (_Pattern("", self._written(key), "").polars for key in self.keys)
        few = pl.any_horizontal(text.str.contains(word) for word in words)
        return pl.when(few).then(text).str.replace_all(NOT_IDS, " ")

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

    def mentioned(self, text: str, column: str = "") -> bool:
        """Say whether a text mentions them, of a column of that name; of texts, after `among`."""
        if not self._may_be_in(text):
            return False
        if self._names_key(column):
            text = f"{column}: {text}"
        if any(p.found(text) for p in self._whole):
            return True
        return all(any(p.found(text) for p in one) for one in self._by_key)

    def in_raw(self, text: str) -> bool:
        """Say whether a raw record is theirs; also one that is too broken to name its key."""
        bare = (
            _Pattern("", self._written(key), "", free=self._is_number(key)).found(text)
            and not any(name in text for name in self.names[key])
            for key in self.keys
        )
        return self.mentioned(text) or all(bare)

    def scrubbed(self, text: str, column: str = "") -> str:
        """Put something else where a text mentions them; what is JSON stays JSON."""
        before = f"{column}: " if self._names_key(column) else ""
        text = before + text
        for pattern in self._whole:
            text = pattern.put_instead(text)
        if all(any(p.found(text) for p in one) for one in self._by_key):
            for pattern in (p for one in self._by_key for p in one):
                text = pattern.put_instead(text)
        return text.removeprefix(before)

    def numbers(self) -> list[bytes]:
        """Give whole numbers among the ids as they are stored, in eight bytes."""
        whole = [int(v) for v in self.keys.values() if re.fullmatch(r"-?\d{6,18}", v)]
        return [n.to_bytes(8, "little", signed=True) for n in whole]

    def _names_key(self, column: str) -> bool:
        return any(column in names for names in self.names.values())

    def _in_unnamed(self, record: pl.Expr) -> pl.Expr:
        """Look for bare ids in a raw record that does not name the key: a broken line, say."""
        found = []
        for key in self.keys:
            bare = _Pattern("", self._written(key), "")
            named = "|".join(re.escape(name) for name in self.names[key])
            free = self._free(record) if self._is_number(key) else record
            found.append(free.str.contains(bare.polars) & ~record.str.contains(named))
        return pl.all_horizontal(found)

    @cached_property
    def _by_key(self) -> list[list[_Pattern]]:
        return [self._of_key(key, value) for key, value in self.keys.items()]

    def _of_key(self, key: str, value: str) -> list[_Pattern]:
        core, free = self._written(key), self._is_number(key)
        instead = "0" if free else GONE
        names = "|".join(re.escape(name) for name in self.names[key])
        beside = r"(?:\W{1,4}|\\*[\"']?\s*[:=]\s*\\*[\"']?)"
        found = [
            _Pattern(rf"(?:{names}){beside}", core, instead),
            _Pattern(rf"(?:{names}): expected [^;]*found \W?", core, instead),
        ]
        if len(value) >= DISTINCT:
            found.append(_Pattern("", core, instead, free=free))
        return found

    def _is_number(self, key: str) -> bool:
        return re.fullmatch(r"-?\d+", self.keys[key]) is not None

    def _written(self, key: str) -> str:
        """Write a key as a text may have it."""
        value = self.keys[key]
        if key in self.integers:
            sign, digits = ("-", value[1:]) if value.startswith("-") else ("", value)
            return rf"{sign}0*{digits}(?:\.0+)?"
        return _written(value)

    @cached_property
    def _whole(self) -> list[_Pattern]:
        decisions = [
            _Pattern(f"{name}:{_DAY}:", r"\|".join(map(self._part, columns)), GONE)
            for name, columns in self.flywheels.items()
        ]
        return [*decisions, *(_Pattern("", _written(text), GONE) for text in self.texts)]

    def _part(self, column: str) -> str:
        return f"(?:{self._written(column)})" if column in self.keys else r'[^|"\s]*'


def _forms(value: str) -> list[str]:
    """Write a text as it is, beside other keys, as it stands in JSON, and in JSON in JSON."""
    forms = [value, written(value)]
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
