"""Receipts: what forgetting somebody did, without what it was done to."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from flywheel_assets.stores import disk
from flywheel_assets.stores.home import Home


@dataclass
class Receipt:
    """One request to forget, as it was carried out.

    Parameters
    ----------
    digests : dict
        Key column -> the salted digest of its value, the same as keeps them out.
    finished_at : str or None
        None for one that was begun and killed: the same command goes on with it.
    rows : dict
        Table -> rows of its newest version before and after, how many of those were theirs, and
        how many data files of older versions went.
    elsewhere : dict
        File, or the inbox -> how many records or values of theirs went.
    models : list
        Registered versions that were trained on rows of theirs, and on how many.
    sources : list
        What holds them outside the home, and was not touched.
    left : list
        Files below the home in which they are still found; none is what was asked for.
    """

    id: str
    entity: str
    digests: dict[str, str]
    by: str
    begun_at: str
    finished_at: str | None = None
    rows: dict[str, dict[str, int]] = field(default_factory=dict)
    elsewhere: dict[str, int] = field(default_factory=dict)
    models: list[dict[str, Any]] = field(default_factory=list)
    sources: list[dict[str, Any]] = field(default_factory=list)
    searched: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Receipts:
    """The receipts of one home, a file each."""

    root: Path

    @classmethod
    def of(cls, home: Home) -> "Receipts":
        """Find those of a home."""
        return cls(home.root / "receipts")

    def begin(self, entity: str, digests: Mapping[str, str], by: str) -> Receipt:
        """Go on with the request that was not finished, or begin one."""
        for one in self.all():
            if one.digests == dict(digests) and one.finished_at is None:
                return one
        return Receipt(secrets.token_hex(6), entity, dict(digests), by, _now())

    def keep(self, receipt: Receipt, *, finished: bool = False) -> None:
        """Write a receipt, in one step."""
        if finished:
            receipt.finished_at = _now()
        self.root.mkdir(parents=True, exist_ok=True)
        content = json.dumps(asdict(receipt), indent=1)
        disk.overwrite(self.root / f"{receipt.id}.json", content.encode())

    def all(self) -> list[Receipt]:
        """Read every receipt, in the order in which they were begun."""
        found = [Receipt(**json.loads(f.read_text())) for f in self.root.glob("*.json")]
        return sorted(found, key=lambda one: one.begun_at)


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
