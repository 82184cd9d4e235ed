"""``GET /decisions/{flywheel}/{entity}`` and its batch form: what was decided, as published."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, date, datetime
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from starlette.requests import Request
from starlette.responses import Response

from flywheel_assets.api.access import Access
from flywheel_assets.api.body import body_of, headers_of, media_type
from flywheel_assets.api.faults import Fault, UnfitError, placed, syntax_fault
from flywheel_assets.api.limits import MAX_ERRORS, MAX_RECORDS, Budget
from flywheel_assets.api.observations import JSON
from flywheel_assets.api.problems import ProblemError, json_response
from flywheel_assets.api.published import Published, Row, UnpublishedError
from flywheel_assets.errors import nearest

_Moment = Annotated[datetime, Meta(tz=True)]


class Decision(msgspec.Struct, kw_only=True):
    """What was decided about an entity.

    Parameters
    ----------
    entity : mapping
        Its keys.
    decision_id : str
        To be sent with every observation that answers the decision.
    score : float or None
        None where the bootstrap rule could not score it.
    rank : int
        1 for the best of the partition.
    model_version : int or None
        None where the bootstrap rule decided.
    """

    flywheel: str
    entity: dict[str, Any]
    decision_id: str
    action: str
    score: float | None
    rank: int
    model_version: int | None
    decided_at: datetime
    partition_date: date


class Shown(msgspec.Struct, kw_only=True):
    """What an entity is shown.

    Parameters
    ----------
    entity : mapping
        The key that the slate is for.
    items : list of Decision
        Best first; empty where all that was considered is held.
    """

    flywheel: str
    entity: dict[str, Any]
    partition_date: date
    items: list[Decision]


class Found(msgspec.Struct, kw_only=True):
    """One result of a batch: null for an entity that nothing was decided about."""

    entity: dict[str, Any]
    decision: Decision | UnsetType | None = UNSET
    shown: Shown | UnsetType | None = UNSET


class FoundAll(msgspec.Struct, kw_only=True):
    """The results of a batch, in the order asked, all of one partition."""

    partition_date: date
    results: list[Found]


class Listed(msgspec.Struct, kw_only=True):
    """Whom to act on, best first.

    Parameters
    ----------
    n_decisions : int
        How many there are of the action; ``decisions`` are the first of them.
    """

    partition_date: date
    n_decisions: int
    decisions: list[Decision]


class Wanted(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a batch asks for: entities as objects of their keys, or as the value of the only key.

    Of pairs, the key that a slate is for alone asks for what is shown.
    """

    entities: Annotated[list[Any], Meta(min_length=1, max_length=MAX_RECORDS)]
    as_of: _Moment | None = None


_WANTED = msgspec.json.Decoder(Wanted)


class Decisions:
    """Gives decisions out.

    Parameters
    ----------
    published : sequence of Published
        One for each flywheel.
    """

    def __init__(self, published: Sequence[Published], access: Access, budget: Budget) -> None:
        self._published = {p.flywheel.name: p for p in published}
        self._apis = {p.flywheel.api: p for p in published if p.flywheel.api is not None}
        self._access, self._budget = access, budget

    async def get(self, request: Request) -> Response:
        """Answer for one entity."""
        self._access.caller(headers_of(request), "read")
        published = self._find(request)
        _check_parameters(request, ("as_of",))
        moment = _moment(request)
        try:
            entity = published.entities.from_path(request.path_params["entity"])
        except UnfitError as error:
            raise _unfit(error.faults) from None
        if moment is None:
            day, rows = _look_up(published, [entity], None)
        else:
            day, rows = await asyncio.to_thread(_look_up, published, [entity], moment)
        if rows[0] is None:
            raise ProblemError(
                404,
                f"{published.flywheel.name} decided nothing about this "
                f"{published.flywheel.entity.name} in its partition {day}",
            )
        return json_response(_told(published, entity[1], day, rows[0]))

    async def best(self, request: Request) -> Response:
        """Answer with those that are acted on, best first."""
        self._access.caller(headers_of(request), "read")
        published = self._find(request)
        _check_parameters(request, ("action", "limit", "as_of"))
        moment, asked = _moment(request), request.query_params
        limit = _limit(asked.get("limit"))
        return json_response(
            await asyncio.to_thread(best_of, published, asked.get("action"), limit, moment)
        )

    async def post(self, request: Request) -> Response:
        """Answer for many entities at once."""
        headers = headers_of(request)
        self._access.caller(headers, "read")
        published = self._find(request)
        _check_parameters(request, ())
        if media_type(headers) != JSON:
            raise ProblemError(415, f"expected Content-Type {JSON}")
        async with body_of(request, headers, self._budget) as body:
            try:
                wanted = _WANTED.decode(body)
            except msgspec.ValidationError as error:
                raise _unfit([placed(error)]) from None
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                raise ProblemError(400, syntax_fault(body, error)) from None
        if wanted.as_of is None:
            return json_response(answers_for(published, wanted.entities, None))
        found = await asyncio.to_thread(answers_for, published, wanted.entities, wanted.as_of)
        return json_response(found)

    def _find(self, request: Request) -> Published:
        name = request.path_params.get("flywheel")
        if name is None:
            return self._apis[request.scope["path"].split("/")[1]]
        found = self._published.get(name)
        if found is None:
            raise ProblemError(404, f"no such flywheel; {nearest(name[:60], self._published)}")
        return found


def answers_for(published: Published, entities: Sequence[Any], moment: datetime | None) -> FoundAll:
    """Look many entities up, as written in a body.

    Raises
    ------
    ProblemError
        422 for what cannot be an entity, 503 where nothing is published.
    """
    moment = None if moment is None else _utc(moment)
    wanted = _entities(published, entities)
    day, rows = _look_up(published, wanted, moment)
    results = []
    for (_, keys), row in zip(wanted, rows, strict=True):
        told = None if row is None else _told(published, keys, day, row)
        if isinstance(told, Decision):
            results.append(Found(entity=keys, decision=told))
        elif told is None and len(keys) == len(published.entities.types):
            results.append(Found(entity=keys, decision=None))
        else:
            results.append(Found(entity=keys, shown=told))
    return FoundAll(partition_date=day, results=results)


def best_of(
    published: Published, action: str | None, limit: int, moment: datetime | None
) -> Listed:
    """List whom to act on, best first.

    Parameters
    ----------
    action : str, optional
        All but holding back, without.

    Raises
    ------
    ProblemError
        422 for an action that there is not, or a limit that is none, 404 or 503 where nothing is
        published.
    """
    if not 1 <= limit <= MAX_RECORDS:
        raise _unfit([Fault("limit", f"expected a whole number from 1 to {MAX_RECORDS}")])
    policy = published.flywheel.policy
    if action is not None and action not in policy.actions:
        raise _unfit([Fault("action", f"no such action; {nearest(action[:60], policy.actions)}")])
    actions = (action,) if action else policy.acting
    moment = None if moment is None else _utc(moment)
    with _published(published, moment):
        day, n_rows, rows = published.best(actions, limit, moment)
    keys = published.entities.types
    told = [_decision(published, {key: row[key] for key in keys}, day, row) for row in rows]
    return Listed(partition_date=day, n_decisions=n_rows, decisions=told)


def _check_parameters(request: Request, valid: Sequence[str]) -> None:
    """Refuse a parameter that is none: ignored, it would be answered with something else."""
    unknown = [name[:60] for name in request.query_params if name not in valid][:MAX_ERRORS]
    if unknown:
        hints = {n: nearest(n, valid) if valid else "write it in the body" for n in unknown}
        raise _unfit([Fault(n, f"unknown parameter; {hint}") for n, hint in hints.items()])


def _limit(text: str | None) -> int:
    try:
        return MAX_RECORDS if text is None else int(text)
    except ValueError:
        return 0


def _look_up(
    published: Published, wanted: Sequence[tuple[str, Row]], moment: datetime | None
) -> tuple[date, list[Row | list[Row] | None]]:
    with _published(published, moment):
        return published.latest(wanted) if moment is None else published.as_of(moment, wanted)


@contextmanager
def _published(published: Published, moment: datetime | None) -> Iterator[None]:
    """Answer 404 or 503 where there is nothing to read."""
    try:
        yield
    except UnpublishedError as error:
        name = published.flywheel.name
        if error.ever and moment is not None:
            raise ProblemError(
                404, f"{name} had published nothing by {moment.isoformat()}"
            ) from None
        raise ProblemError(503, f"{name} has published no decisions", retry_after=60) from None


def _entities(published: Published, values: Sequence[Any]) -> list[tuple[str, dict[str, Any]]]:
    entities = []
    for index, value in enumerate(values):
        try:
            entities.append(published.entities.from_body(value))
        except UnfitError as error:
            place = f"$.entities[{index}]"
            raise _unfit([Fault(place + f.path[1:], f.reason) for f in error.faults]) from None
    return entities


def _told(
    published: Published, keys: Mapping[str, Any], day: date, found: Row | list[Row]
) -> Decision | Shown:
    if not isinstance(found, list):
        return _decision(published, keys, day, found)
    names = published.entities.types
    return Shown(
        flywheel=published.flywheel.name,
        entity=dict(keys),
        partition_date=day,
        items=[_decision(published, {n: row[n] for n in names}, day, row) for row in found],
    )


def _decision(published: Published, keys: Mapping[str, Any], day: date, row: Row) -> Decision:
    return Decision(
        flywheel=published.flywheel.name,
        entity=dict(keys),
        decision_id=row["decision_id"],
        action=row["action"],
        score=row["score"],
        rank=row["rank"],
        model_version=row["model_version"],
        decided_at=row["decided_at"],
        partition_date=day,
    )


def _moment(request: Request) -> datetime | None:
    text = request.query_params.get("as_of")
    if text is None:
        return None
    try:
        return _utc(msgspec.convert(text, _Moment))
    except msgspec.ValidationError as error:
        raise _unfit([Fault("as_of", str(error))]) from None


def _utc(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise _unfit([Fault("as_of", "expected a time with a time zone")])
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise _unfit([Fault("as_of", "expected a time in the years 1 to 9999 in UTC")]) from None


def _unfit(faults: Sequence[Fault]) -> ProblemError:
    return ProblemError(422, "the request does not fit its schema", errors=faults)
