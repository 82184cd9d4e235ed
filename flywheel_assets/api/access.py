"""Who may ask: the caller that a request's key stands for, and how much it may send."""

from dataclasses import dataclass
from functools import lru_cache

from flywheel_assets.api.keys import KeyStore, Right
from flywheel_assets.api.limits import Rates
from flywheel_assets.api.problems import ProblemError
from flywheel_assets.errors import ApiKeyError

LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever makes a request, and its rights."""

    producer: str
    kinds: frozenset[str]
    records_per_second: float | None


class Access:
    """Decides who may do what.

    Parameters
    ----------
    local : bool
        Served on loopback. Without any key there, whoever is on this machine may do anything;
        once a key was made, or off loopback, every request needs one.

    Raises
    ------
    ApiKeyError
        For a service off loopback without keys.
    """

    def __init__(self, keys: KeyStore, *, local: bool) -> None:
        self._keys, self._local = keys, local
        self._rates = Rates()
        self._anybody = Caller("local", frozenset(), None)
        # Once needed, always needed: a file that is deleted under a server opens no door.
        self._needed = not local or keys.exist()
        if not local and not any(k.revoked_at is None for k in keys.all()):
            raise ApiKeyError(
                expected="an API key before anybody off this machine is served",
                found="none",
                remedy="make one with `flywheel keys add`, or serve on 127.0.0.1",
            )

    def caller(self, headers: dict[bytes, bytes], right: Right | None = None) -> Caller:
        """Find who asks, and refuse who may not.

        Raises
        ------
        ProblemError
            401 without a valid key, 403 for one without the right, 421 for a name that is not this
            machine's where no key is needed (a web page that had its own name point here).
        """
        try:
            self._needed = self._needed or self._keys.exist()
        except ApiKeyError:
            raise _unreadable() from None
        if not self._needed:
            if not _is_local(headers.get(b"host", b"")):
                raise ProblemError(421, "expected the name of this machine, 127.0.0.1 or localhost")
            return self._anybody
        said = headers.get(b"authorization", b"").decode("latin-1")
        scheme, _, secret = said.partition(" ")
        try:
            key = self._keys.find(secret.strip()) if scheme.lower() == "bearer" else None
        except ApiKeyError:
            raise _unreadable() from None
        if key is None:
            raise ProblemError(401, "expected 'Authorization: Bearer KEY' with a key that is valid")
        if right is not None and right not in key.rights:
            raise ProblemError(403, f"this key of {key.producer} may not {right}")
        return Caller(key.producer, frozenset(key.kinds), key.records_per_second)

    def check_kinds(self, caller: Caller, kinds: set[str]) -> None:
        """Refuse a request with a record of a kind that the caller may not write; none is kept."""
        beyond = sorted(kinds - caller.kinds) if caller.kinds else []
        if beyond:
            raise ProblemError(403, f"this key of {caller.producer} may not write {beyond[0]}")

    def spend(self, caller: Caller, records: int) -> None:
        """Count what a caller sends, and refuse what is too much."""
        if caller.records_per_second is None:
            return
        wait = self._rates.wait(caller.producer, records, caller.records_per_second)
        if wait > 0:
            raise ProblemError(
                429,
                f"expected at most {caller.records_per_second:g} records a second",
                retry_after=wait,
            )


@lru_cache(maxsize=64)
def _is_local(host: bytes) -> bool:
    name = host.decode("latin-1").lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    return name in LOOPBACK


def _unreadable() -> ProblemError:
    return ProblemError(503, "the file of API keys cannot be read: nobody is let in")
