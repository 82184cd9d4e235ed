"""Who must not come back: salted digests of keys, kept in the home without the keys.

A digest is a pseudonym, not anonymity: who has the salt and a list of all ids can try each.
"""

import hashlib
import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import polars_hash as plh

from flywheel_assets.stores import disk
from flywheel_assets.stores.forgetting.sought import DISTINCT
from flywheel_assets.stores.home import Home

FORGOTTEN = "forgotten"
"""Why a record is rejected that is of somebody who was forgotten."""
_WORD = r"[^\s,;|\"'{}\[\]()=:]+"


@dataclass(frozen=True)
class Suppressed:
    """The digests of one home.

    Examples
    --------
    >>> import tempfile
    >>> kept = Suppressed(Path(tempfile.mkdtemp()) / "forgotten.json")
    >>> made = kept.add({"customer_id": "17"})
    >>> frame = pl.DataFrame({"customer_id": [16, 17]})
    >>> frame.select(theirs=kept.rows(frame))["theirs"].to_list()
    [False, True]
    """

    path: Path

    @classmethod
    def of(cls, home: Home) -> "Suppressed":
        """Find those of a home."""
        return cls(home.root / "forgotten.json")

    def add(self, keys: Mapping[str, str]) -> dict[str, str]:
        """Keep somebody out from now on; returns the digests of their keys."""
        kept = self._kept or {"salt": secrets.token_hex(32), "entities": []}
        digests = {key: _digest(kept["salt"], key, value) for key, value in keys.items()}
        distinct = all(len(value) >= DISTINCT for value in keys.values())
        entry = {"keys": digests, "distinct": distinct}
        if entry not in kept["entities"]:
            kept["entities"].append(entry)
            disk.overwrite(self.path, json.dumps(kept, indent=1).encode())
            self.__dict__.pop("_kept", None)
        return digests

    def rows(self, frame: pl.DataFrame) -> pl.Series:
        """Say which rows have the keys of somebody who was forgotten."""
        found = pl.Series([False], dtype=pl.Boolean).new_from_index(0, frame.height)
        for entry in self._entities:
            keys = entry["keys"]
            if keys.keys() <= set(frame.columns):
                texts = [frame[key].cast(pl.String) for key in keys]
                found |= self._all(dict(zip(keys, texts, strict=True)), keys)
        return found

    def texts(self, texts: pl.Series) -> pl.Series:
        """Say which texts are records with such keys, or have such ids among their words."""
        found = pl.Series([False], dtype=pl.Boolean).new_from_index(0, texts.len())
        for entry in self._entities:
            keys = entry["keys"]
            for place in ("$", "$.entity", "$.payload"):
                said = {key: _at(texts, f"{place}['{key}']") for key in keys}
                found |= self._all(said, keys)
            if entry["distinct"]:
                found |= self._among_words(texts, keys)
        return found

    def in_collected(self, checked: pl.DataFrame) -> pl.DataFrame:
        """Reject what validation gave of them, for a reason that says no more than that."""
        if not self._entities or checked.is_empty():
            return checked
        refused = checked["reason"].is_not_null()
        texts = pl.select(pl.when(refused).then(checked["record"])).to_series()
        said = pl.select(pl.when(refused).then(checked["reason"])).to_series()
        theirs = self.rows(checked) | self.texts(texts) | self.texts(said)
        theirs |= (checked["reason"] == FORGOTTEN).fill_null(value=False)
        return _silenced(checked, theirs, ("record", "file", "line"))

    def in_received(self, entries: pl.DataFrame) -> pl.DataFrame:
        """Leave of what the API received of them that it was received."""
        if not self._entities or entries.is_empty():
            return entries
        theirs = self.texts(entries["record"])
        silenced = _silenced(entries, theirs, ("record", "observation_id", "event_time"))
        return silenced.with_columns(
            status=pl.when(theirs).then(pl.lit("rejected")).otherwise("status")
        )

    @cached_property
    def _kept(self) -> dict[str, Any]:
        return json.loads(self.path.read_text()) if self.path.exists() else {}

    @property
    def _entities(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self._kept.get("entities", [])
        return found

    def _all(self, columns: Mapping[str, pl.Series], keys: Mapping[str, str]) -> pl.Series:
        each = [self._hashed(key, columns[key]) == digest for key, digest in keys.items()]
        return pl.select(pl.all_horizontal(each).fill_null(value=False)).to_series()

    def _hashed(self, key: str, texts: pl.Series) -> pl.Series:
        """Digest each text once, however often it occurs."""
        unique = texts.unique().drop_nulls()
        start = pl.lit(f"{self._kept['salt']}:{key}:")
        digests = pl.select(plh.concat_str(start, unique).chash.sha2_256()).to_series()
        return texts.replace_strict(unique, digests, default=None, return_dtype=pl.String)

    def _among_words(self, texts: pl.Series, keys: Mapping[str, str]) -> pl.Series:
        words = pl.DataFrame({"text": texts}).with_row_index("row")
        both = [pl.col("text").str.extract_all(p) for p in (_WORD, r'[^"]+')]
        words = words.select("row", word=pl.concat_list(both)).explode("word")
        found = pl.Series([True], dtype=pl.Boolean).new_from_index(0, texts.len())
        for key, digest in keys.items():
            there = words.filter(self._hashed(key, words["word"]) == digest)["row"]
            found &= pl.int_range(texts.len(), eager=True).is_in(there.implode())
        return found


def _silenced(frame: pl.DataFrame, theirs: pl.Series, columns: tuple[str, ...]) -> pl.DataFrame:
    return frame.with_columns(
        pl.when(theirs).then(pl.lit(FORGOTTEN)).otherwise("reason").alias("reason"),
        *(pl.when(~theirs).then(name).alias(name) for name in columns),
    )


def _at(texts: pl.Series, path: str) -> pl.Series:
    return texts.str.json_path_match(path)


def _digest(salt: str, key: str, value: str) -> str:
    return hashlib.sha256(f"{salt}:{key}:{value}".encode()).hexdigest()
