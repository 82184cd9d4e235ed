"""The Python functions: log what happened, read what was decided; over HTTP, or on a home.

::

    api = Remote("http://127.0.0.1:8700")      # or Local(home, FLYWHEELS)
    offer = api.get_decision("repurchase", 17850)
    api.log_observation("order_line", {"customer_id": 17850}, when, {...},
                        decision_id=offer["decision_id"])
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date, datetime
from typing import TYPE_CHECKING, Any, TypeAlias
from urllib.parse import quote

import msgspec

from flywheel_assets.api.intake import Answer, answer, parse, received_of, rejects
from flywheel_assets.api.limits import MAX_RECORDS
from flywheel_assets.api.lines import bodies, encode, moved
from flywheel_assets.declare.flywheel import Flywheel, catalog
from flywheel_assets.errors import ApiError, nearest
from flywheel_assets.stores.home import Home

if TYPE_CHECKING:
    from flywheel_assets.api.published import Published

Decision: TypeAlias = dict[str, Any]
_TRIES = 5


class Client(ABC):
    """What both ways to the flywheel have in common."""

    def log_observation(  # noqa: PLR0913  a record has as many parts as it has
        self,
        kind: str,
        entity: Mapping[str, Any],
        event_time: datetime,
        payload: Mapping[str, Any] | None = None,
        *,
        observation_id: str | None = None,
        decision_id: str | None = None,
        corrects: str | None = None,
        retracts: str | None = None,
    ) -> Answer:
        """Log one observation; when this returns, it is on disk.

        Parameters
        ----------
        kind : str
            A declared observation.
        entity : mapping
            Its keys.
        event_time : datetime
            When it happened, with a time zone.
        payload : mapping, optional
            The observation's other fields; none for a retraction.
        observation_id : str, optional
            The same for the same observation however often it is sent; a digest of the content, if
            left out.
        decision_id : str, optional
            The decision that it answers. One that nobody made is received, too: whether there is
            such a decision is checked when the day is decided.
        corrects, retracts : str, optional
            The observation_id of what it replaces, or withdraws.

        Returns
        -------
        Answer
            accepted or duplicate.

        Raises
        ------
        ApiError
            For a record that was rejected, or conflicts with an earlier one, saying by field why.
        """
        record = {
            "kind": kind,
            "entity": entity,
            "event_time": event_time,
            "payload": payload,
            "observation_id": observation_id,
            "decision_id": decision_id,
            "corrects": corrects,
            "retracts": retracts,
        }
        said = self.log_observations([{k: v for k, v in record.items() if v is not None}])[0]
        if said.status in {"rejected", "conflict"}:
            raise ApiError(
                expected=f"an observation as {kind} declares it",
                found="; ".join(f"{f.path}: {f.reason}" for f in said.errors or ()),
                remedy="correct it and send it again",
            )
        return said

    def log_observations(self, records: Iterable[Mapping[str, Any]]) -> list[Answer]:
        """Log observations, each a mapping with the parameters of `log_observation`.

        Returns
        -------
        list of Answer
            One for each, in order. Rejected and conflicting ones are answered, not raised: look.

        Raises
        ------
        ApiError
            Where the service refuses all of them; those before may be on disk, and sending all
            again is right: what was received counts once.
        """
        return list(self.log_written(encode(dict(record)) for record in records))

    def log_written(self, lines: Iterable[bytes]) -> Iterator[Answer]:
        """Log records that are JSON already, as many at a time as the service takes."""
        for start, body in bodies(lines):
            for said in self._log(body):
                yield moved(said, start)

    def get_decision(
        self, flywheel: str, entity: Any, *, as_of: datetime | None = None
    ) -> Decision | None:
        """Read the newest decision about an entity; None if there is none about it.

        Parameters
        ----------
        entity : mapping, or the value of the only key
            Of pairs, the key that a slate is for alone reads what is shown: ``items`` are its
            decisions, best first.
        as_of : datetime, optional
            Read what was published by then.

        Raises
        ------
        ApiError
            For an unknown flywheel, or one that has published nothing.
        """
        return self.get_decisions(flywheel, [entity], as_of=as_of)[0]

    def get_decisions(
        self, flywheel: str, entities: Sequence[Any], *, as_of: datetime | None = None
    ) -> list[Decision | None]:
        """Read the newest decisions about many entities, in their order."""
        return self._read(f"decisions/{flywheel}", entities, as_of)

    def best_decisions(
        self,
        flywheel: str,
        *,
        action: str | None = None,
        limit: int | None = None,
        as_of: datetime | None = None,
    ) -> list[Decision]:
        """Read whom to act on, best first.

        Parameters
        ----------
        action : str, optional
            Only of this action; all but holding back, without.
        limit : int, optional
            How many, at most 10,000.
        as_of : datetime, optional
            Read what was published by then.

        Raises
        ------
        ApiError
            For an unknown flywheel or action, or one that has published nothing.
        """
        return self._best(f"decisions/{flywheel}", action, limit, as_of)

    def __getattr__(self, name: str) -> Any:
        """Give the reading function under the name that a declaration gives it (``api=``)."""
        if not name.startswith("get_"):
            raise AttributeError(name)

        def get(entity: Any, *, as_of: datetime | None = None) -> Decision | None:
            return self._read(name, [entity], as_of)[0]

        return get

    @abstractmethod
    def _log(self, body: bytes) -> list[Answer]:
        """Send records, one on each line."""

    @abstractmethod
    def _read(
        self, path: str, entities: Sequence[Any], as_of: datetime | None
    ) -> list[Decision | None]:
        """Read decisions under a path of the service."""

    @abstractmethod
    def _best(
        self, path: str, action: str | None, limit: int | None, as_of: datetime | None
    ) -> list[Decision]:
        """Read whom to act on under a path of the service."""


class Local(Client):
    """The flywheel on a home of this machine, without a service between.

    Parameters
    ----------
    home : Home
    flywheels : iterable of Flywheel
        Whose observations may be logged, and decisions read.
    clock : callable, optional
        Microseconds since the epoch, by which receipt is dated: a simulated product brings its own.
    """

    def __init__(
        self, home: Home, flywheels: Iterable[Flywheel], *, clock: Callable[[], int] | None = None
    ) -> None:
        from flywheel_assets.api.published import Published
        from flywheel_assets.api.records import Reader
        from flywheel_assets.stores.inbox import Inbox, now_us
        from flywheel_assets.stores.tables import Tables

        wheels, clock = tuple(flywheels), clock or now_us
        self._reader = Reader(catalog(wheels).observations, clock)
        self._inbox = Inbox(home.inbox, clock=clock)
        self._published: dict[str, Published] = {}
        for wheel in wheels:
            one = Published(Tables(home.lakehouse), wheel)
            self._published[f"decisions/{wheel.name}"] = one
            if wheel.api is not None:
                self._published[wheel.api] = one

    def close(self) -> None:
        """Let the inbox go."""
        self._inbox.close()

    def _log(self, body: bytes) -> list[Answer]:
        parsed = parse(self._reader, body, lines=True)
        answers = answer(parsed, self._inbox.put(received_of(parsed)))
        self._inbox.reject(rejects(parsed, answers))
        return answers

    def _read(
        self, path: str, entities: Sequence[Any], as_of: datetime | None
    ) -> list[Decision | None]:
        from flywheel_assets.api.decisions import answers_for

        with _raising_ours():
            return _told(answers_for(self._refreshed(path), entities, as_of))

    def _best(
        self, path: str, action: str | None, limit: int | None, as_of: datetime | None
    ) -> list[Decision]:
        from flywheel_assets.api.decisions import best_of

        with _raising_ours():
            most = MAX_RECORDS if limit is None else limit
            return _listed(best_of(self._refreshed(path), action, most, as_of))

    def _refreshed(self, path: str) -> "Published":
        published = self._published.get(path)
        if published is None:
            raise ApiError(
                expected="a declared flywheel",
                found=path,
                remedy=nearest(path, self._published),
            )
        published.refresh()
        return published


class Remote(Client):
    """The flywheel behind a service.

    Tries again what the service puts off (429, 503) or what is cut off on the way: an observation
    that had arrived counts once.

    Parameters
    ----------
    url : str
        For example ``http://127.0.0.1:8700``.
    key : str, optional
        An API key.
    """

    def __init__(self, url: str, key: str | None = None, *, timeout_seconds: float = 30) -> None:
        import urllib3

        self._url = url.rstrip("/")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        self._pool = urllib3.PoolManager(headers=headers, timeout=timeout_seconds)
        self._patient = urllib3.Retry(
            total=_TRIES,
            status_forcelist=(429, 503),
            allowed_methods=None,
            backoff_factor=0.2,
            raise_on_status=False,
        )

    def _log(self, body: bytes) -> list[Answer]:
        found = self._post("observations", body, "application/x-ndjson", retries=self._patient)
        return msgspec.convert(found["results"], list[Answer])

    def _read(
        self, path: str, entities: Sequence[Any], as_of: datetime | None
    ) -> list[Decision | None]:
        wanted = {"entities": list(entities), "as_of": as_of}
        found = self._post(quote(path), encode(wanted), "application/json", retries=None)
        return _told(found)

    def _best(
        self, path: str, action: str | None, limit: int | None, as_of: datetime | None
    ) -> list[Decision]:
        asked = {"action": action, "limit": limit, "as_of": as_of and as_of.isoformat()}
        fields = {name: value for name, value in asked.items() if value is not None}
        return _listed(self._request("GET", quote(path), fields=fields, retries=None))

    def _post(self, path: str, body: bytes, kind: str, *, retries: Any) -> dict[str, Any]:
        headers = {**self._pool.headers, "Content-Type": kind}
        return self._request("POST", path, body=body, headers=headers, retries=retries)

    def _request(self, method: str, path: str, **how: Any) -> dict[str, Any]:
        from urllib3.exceptions import HTTPError

        try:
            answer = self._pool.request(method, f"{self._url}/{path}", **how)
        except HTTPError as error:
            raise ApiError(
                expected=f"a service at {self._url}",
                found=str(error),
                remedy="start it with `flywheel api`, or correct the url",
            ) from None
        try:
            found = msgspec.json.decode(answer.data, type=dict[str, Any])
        except msgspec.DecodeError:
            found = {"status": answer.status, "title": "no JSON", "detail": f"is {self._url} ours?"}
        if answer.status not in {200, 207}:
            raise _refused(found)
        return found


def log_lines(
    client: Client, lines: Iterable[bytes], tell: Callable[[str], None]
) -> dict[str, int]:
    """Log records that are written already, a JSON object on each line, in bounded memory.

    Parameters
    ----------
    tell : callable
        Told one line for each record that was not received.

    Returns
    -------
    dict
        How many were accepted, duplicate, conflict and rejected.
    """
    told = {"accepted": 0, "duplicate": 0, "conflict": 0, "rejected": 0}
    sound = (line.rstrip(b"\r\n") for line in lines if line.strip())
    for said in client.log_written(sound):
        told[said.status] += 1
        for fault in said.errors or ():
            tell(f"record {said.index}: {said.status}: {fault.path}: {fault.reason}")
    return told


def _refused(problem: Mapping[str, Any]) -> ApiError:
    faults = [f"{f['path']}: {f['reason']}" for f in problem.get("errors") or ()]
    return ApiError(
        expected="a request that the service answers",
        found=f"{problem.get('status')} {problem.get('title')}",
        remedy="; ".join([str(problem.get("detail")), *faults]),
    )


@contextmanager
def _raising_ours() -> Iterator[None]:
    """Refuse as the service would, without one."""
    from flywheel_assets.api.problems import ProblemError

    try:
        yield
    except ProblemError as error:
        raise _refused(msgspec.to_builtins(error.problem)) from None


def _listed(answer: Any) -> list[Decision]:
    """Give decisions as dicts with real times, whichever way they came."""
    from flywheel_assets.api.decisions import Listed

    found = msgspec.convert(answer, Listed, from_attributes=True).decisions
    return [msgspec.to_builtins(one, builtin_types=(date, datetime)) for one in found]


def _told(answers: Any) -> list[Decision | None]:
    """Give decisions as dicts with real times, whichever way they came."""
    from flywheel_assets.api.decisions import FoundAll

    results = msgspec.convert(answers, FoundAll).results
    found = (one.shown if one.decision is msgspec.UNSET else one.decision for one in results)
    return [msgspec.to_builtins(one, builtin_types=(date, datetime)) for one in found]
