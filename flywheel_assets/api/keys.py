"""API keys: one for each producer, hashed at rest, and for stated kinds and rights only.

A key is 256 random bits, so a plain sha256 keeps it: there is nothing to guess.
"""

import fcntl
import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal

import msgspec

from flywheel_assets.declare.rules import check_name
from flywheel_assets.errors import ApiKeyError, nearest

Right = Literal["read", "write"]
LOOK_EVERY_SECONDS = 0.2
"""How long a revoked key may still open, and how often the file is looked at."""
RIGHTS: tuple[Right, Right] = ("read", "write")
PREFIX = "flywheel"


class Key(msgspec.Struct, frozen=True):
    """What is kept of a key.

    Parameters
    ----------
    producer : str
        Whose it is; two keys of one producer are how it is rotated.
    sha256 : str
        Of the key itself, which is shown once and kept nowhere.
    rights : tuple of "read" and "write"
        Reading is of decisions, writing of observations.
    kinds : tuple of str
        The observations that it may write; any, if empty.
    records_per_second : float
        More are answered 429.
    """

    id: str
    producer: str
    sha256: str
    rights: tuple[Right, ...]
    kinds: tuple[str, ...] = ()
    records_per_second: float = 10_000.0
    created_at: str = ""
    revoked_at: str | None = None


class KeyStore:
    """The keys of a home, read again whenever their file changes.

    Examples
    --------
    >>> import tempfile
    >>> store = KeyStore(Path(tempfile.mkdtemp()) / "api_keys.json")
    >>> secret, key = store.add("till", ("write",))
    >>> store.find(secret).producer
    'till'
    >>> store.revoke(key.id); store.find(secret) is None
    True
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen: tuple[int, int, int] | None = None
        self._live: dict[str, Key] = {}
        self._look_at = 0.0

    def exist(self) -> bool:
        """Say whether a key was ever made, revoked or not."""
        self._refresh()
        return self._seen is not None

    def all(self) -> list[Key]:
        """Read every key, revoked ones too.

        Raises
        ------
        ApiKeyError
            For a file that is not what we wrote.
        """
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[Key])
        except FileNotFoundError:
            return []
        except (OSError, msgspec.DecodeError, UnicodeDecodeError) as error:
            raise ApiKeyError(
                expected=f"API keys in {self._path}",
                found=str(error),
                remedy="restore the file, or delete it and make new keys",
            ) from None

    def find(self, secret: str) -> Key | None:
        """Find the key that a request shows; None for one that is unknown or revoked."""
        self._refresh()
        digest = _digest(secret)
        key = self._live.get(digest)
        return key if key is not None and hmac.compare_digest(key.sha256, digest) else None

    def add(
        self,
        producer: str,
        rights: Sequence[Right],
        kinds: Sequence[str] = (),
        *,
        declared: Sequence[str] | None = None,
        records_per_second: float = 10_000.0,
    ) -> tuple[str, Key]:
        """Make a key; returns the key itself, which is not kept, and what is kept of it.

        Raises
        ------
        ApiKeyError
            For no rights, a kind that is not declared, a rate that is not above zero.
        """
        check_name(producer, "a producer")
        self._check(rights, kinds, declared, records_per_second)
        secret = f"{PREFIX}_{secrets.token_urlsafe(32)}"
        key = Key(
            id=secrets.token_hex(4),
            producer=producer,
            sha256=_digest(secret),
            rights=tuple(rights),
            kinds=tuple(kinds),
            records_per_second=records_per_second,
            created_at=_now(),
        )
        with self._locked():
            self._save([*self.all(), key])
        return secret, key

    def revoke(self, key_id: str) -> None:
        """Take a key back, at once; its line stays.

        Raises
        ------
        ApiKeyError
            For an id that no key has.
        """
        with self._locked():
            keys = self.all()
            if key_id not in {k.id for k in keys}:
                raise ApiKeyError(
                    expected="the id of a key",
                    found=repr(key_id),
                    remedy=nearest(key_id, [k.id for k in keys]),
                )
            self._save(
                [
                    msgspec.structs.replace(k, revoked_at=k.revoked_at or _now())
                    if k.id == key_id
                    else k
                    for k in keys
                ]
            )

    def _check(
        self,
        rights: Sequence[Right],
        kinds: Sequence[str],
        declared: Sequence[str] | None,
        rate: float,
    ) -> None:
        if not rights or not rate > 0:
            raise ApiKeyError(
                expected="a key that may read or write, so many records a second",
                found=f"rights {list(rights)}, {rate} records a second",
                remedy="give --read, --write or both, and a rate above zero",
            )
        for kind in kinds if declared is not None else ():
            if kind not in (declared or ()):
                raise ApiKeyError(
                    expected="kinds that are declared",
                    found=repr(kind),
                    remedy=nearest(kind, declared or ()),
                )

    def _refresh(self) -> None:
        now = time.monotonic()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_SECONDS
        try:
            stat = self._path.stat()
        except FileNotFoundError:
            self._seen, self._live = None, {}
            return
        seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
        if seen != self._seen:
            # A file that cannot be read lets nobody in, and is looked at again the next time.
            self._live, self._seen, self._look_at = {}, (0, 0, 0), 0.0
            self._live = {k.sha256: k for k in self.all() if k.revoked_at is None}
            self._seen, self._look_at = seen, now + LOOK_EVERY_SECONDS

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _save(self, keys: Sequence[Key]) -> None:
        written = self._path.with_suffix(".tmp")
        with os.fdopen(os.open(written, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as f:
            f.write(msgspec.json.format(msgspec.json.encode(keys), indent=2))
            f.flush()
            os.fsync(f.fileno())
        written.replace(self._path)
        self._look_at = 0.0


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
