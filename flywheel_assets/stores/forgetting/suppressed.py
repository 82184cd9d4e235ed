"""Who must not come back: salted digests of keys, kept in the home without the keys.

A digest is a pseudonym, not anonymity: who has the salt and a list of all ids can try each.
"""

import hashlib
import json
import re
import secrets
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import polars_hash as plh

from flywheel_assets.stores import disk
from flywheel_assets.stores.forgetting.sought import DISTINCT, NOT_IDS
from flywheel_assets.stores.home import Home

FORGOTTEN = "forgotten"
"""Why a record is rejected that is of somebody who was forgotten."""
_WORDS = (r"[0-9A-Za-z_]+", r"[^\s,;|\"'{}\[\]()=:]+[0-9A-Za-z_]", r'[^"]+')
"""Runs of what ids are mostly made of; what stands between separators; what stands in quotes."""


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

    def add(
        self, keys: Mapping[str, str], integers: AbstractSet[str] = frozenset()
    ) -> dict[str, str]:
        """Keep somebody out from now on; returns the digests of their keys.

        Parameters
        ----------
        integers : set of str
            The keys that are declared as whole numbers: a text may write 17 as 017 or 17.0.
        """
        kept = self._kept or {"salt": secrets.token_hex(32), "entities": []}
        digests = {key: _digest(kept["salt"], key, value) for key, value in keys.items()}
        distinct = all(len(value) >= DISTINCT for value in keys.values())
        entry = {"keys": digests, "distinct": distinct, "integers": sorted(integers & set(keys))}
        if entry not in kept["entities"]:
            kept["entities"].append(entry)
            disk.overwrite(self.path, json.dumps(kept, indent=1).encode())
            self.__dict__.pop("_kept", None)
        return digests

    def rows(self, frame: pl.DataFrame) -> pl.Series:
        """Say which rows have the keys of somebody who was forgotten."""
        found = _nobody(frame.height)
        for keys, known in self._known().items():
            if set(keys) <= set(frame.columns):
                found |= self._with_keys([frame[key].cast(pl.String) for key in keys], known)
        return found

    def texts(self, texts: pl.Series) -> pl.Series:
        """Say which texts are records with such keys, or have such ids among their words."""
        found = _nobody(texts.len())
        for keys, known in self._known().items():
            for place in ("$", "$.entity", "$.payload"):
                said = [
                    self._plain(key, texts.str.json_path_match(f"{place}['{key}']")) for key in keys
                ]
                found |= self._with_keys(said, known)
        for known in self._known(distinct=True).values():
            found |= self._among_words(texts, known)
        return found

    def in_collected(self, checked: pl.DataFrame) -> pl.DataFrame:
        """Reject what validation gave of them, for a reason that says no more than that."""
        if not self._entities or checked.is_empty():
            return checked
        texts = [name for name, dtype in checked.schema.items() if dtype == pl.String]
        theirs = self.rows(checked)
        for name in texts:
            # What a sound record says is in its columns.
            rows = checked.filter(pl.col("reason").is_not_null()) if name == "record" else checked
            unique = rows[name].unique().drop_nulls()
            theirs |= checked[name].is_in(unique.filter(self.texts(unique)).implode())
        theirs = (theirs | (checked["reason"] == FORGOTTEN)).fill_null(value=False)
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

    def _known(self, *, distinct: bool = False) -> dict[tuple[str, ...], pl.DataFrame]:
        """Give the digests as a frame for each set of keys, however many there are."""
        found: dict[tuple[str, ...], list[dict[str, str]]] = {}
        for entry in self._entities:
            if entry["distinct"] or not distinct:
                found.setdefault(tuple(entry["keys"]), []).append(entry["keys"])
        return {keys: pl.DataFrame(digests) for keys, digests in found.items()}

    def _with_keys(self, columns: Sequence[pl.Series], known: pl.DataFrame) -> pl.Series:
        hashed = pl.DataFrame(
            [self._hashed(k, c).alias(k) for k, c in zip(known.columns, columns, strict=True)]
        )
        there = known.with_columns(_there=True)
        both = hashed.join(there, on=known.columns, how="left", maintain_order="left")
        return both["_there"].fill_null(value=False)

    def _hashed(self, key: str, texts: pl.Series) -> pl.Series:
        """Digest each text once, however often it occurs."""
        unique = texts.unique().drop_nulls()
        start = pl.lit(f"{self._kept['salt']}:{key}:")
        digests = pl.select(plh.concat_str(start, unique).chash.sha2_256()).to_series()
        return texts.replace_strict(unique, digests, default=None, return_dtype=pl.String)

    def _plain(self, key: str, texts: pl.Series) -> pl.Series:
        """Write whole numbers as they are stored, where the key is one."""
        if not any(key in entry.get("integers", ()) for entry in self._entities):
            return texts
        return texts.str.replace(r"^\s*(-?)0*(\d+)(?:\.0+)?\s*$", "$1$2")

    def _among_words(self, texts: pl.Series, known: pl.DataFrame) -> pl.Series:
        # A number beside a key's name is a word; one that is a whole field, or a date, is none.
        names = "|".join(map(re.escape, known.columns))
        beside = rf"({names})(?:\W{{1,4}}|\\*[\"']?\s*[:=]\s*\\*[\"']?)(-?\d+)"
        free = texts.str.replace_all(beside, "$1 $2").str.replace_all(NOT_IDS, " ")
        words = pl.DataFrame({"text": free}).with_row_index("row")
        each = [pl.col("text").str.extract_all(p) for p in _WORDS]
        words = words.select("row", word=pl.concat_list(each)).explode("word")
        whose = known.with_row_index("who")
        rows: pl.DataFrame | None = None  # in which all keys so far are
        for key in known.columns:
            plain = self._plain(key, words["word"])
            hashed = words.select("row", self._hashed(key, plain).alias(key))
            there = hashed.join(whose, on=key).select("row", "who").unique()
            rows = there if rows is None else rows.join(there, on=["row", "who"])
        assert rows is not None  # noqa: S101  an entity has keys
        return pl.int_range(texts.len(), eager=True).is_in(rows["row"].implode())


def _nobody(height: int) -> pl.Series:
    return pl.repeat(value=False, n=height, dtype=pl.Boolean, eager=True)


def _silenced(frame: pl.DataFrame, theirs: pl.Series, columns: tuple[str, ...]) -> pl.DataFrame:
    return frame.with_columns(
        pl.when(theirs).then(pl.lit(FORGOTTEN)).otherwise("reason").alias("reason"),
        *(pl.when(~theirs).then(name).alias(name) for name in columns),
    )


def _digest(salt: str, key: str, value: str) -> str:
    return hashlib.sha256(f"{salt}:{key}:{value}".encode()).hexdigest()
