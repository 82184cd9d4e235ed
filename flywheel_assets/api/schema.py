"""The OpenAPI document, made from the same declared fields as the tables and their column docs."""

from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from flywheel_assets.api import wire
from flywheel_assets.api.decisions import Decision, FoundAll, Listed, Shown, Wanted
from flywheel_assets.api.intake import Answer, Answers
from flywheel_assets.api.limits import MAX_BODY, MAX_RECORD, MAX_RECORDS
from flywheel_assets.api.problems import MEDIA_TYPE, TITLES, Problem
from flywheel_assets.api.published import Published
from flywheel_assets.api.records import Reader
from flywheel_assets.declare.entity_ids import SEPARATOR

_TEMPLATE = "#/components/schemas/{name}"
_JSON, _LINES = "application/json", "application/x-ndjson"
Schema = dict[str, Any]


def _query(name: str, description: str, schema: Schema) -> Schema:
    return {
        "name": name,
        "in": "query",
        "required": False,
        "description": description,
        "schema": schema,
    }


_TIME = {"type": "string", "format": "date-time"}
_AS_OF = _query("as_of", "Read what was published by then.", _TIME)


def openapi(reader: Reader, published: Sequence[Published]) -> bytes:
    """Write the OpenAPI 3.1 document of a service, as JSON."""
    records = {name: kind.type for name, kind in reader.kinds.items()}
    record, *answers = (wire.any_of(records.values()), Answer, Answers, Problem)
    references, components = msgspec.json.schema_components(
        [record, *answers, Decision, Shown, FoundAll, Listed, Wanted], ref_template=_TEMPLATE
    )
    for kind in records.values():
        components[kind.__name__]["oneOf"] = [
            {"required": ["payload"], "not": {"required": ["retracts"]}},
            {"required": ["retracts"], "not": {"anyOf": [_has("payload"), _has("corrects")]}},
        ]
    paths: Schema = {
        "/observations": {"post": _observe(references[0])},
        "/healthz": {"get": _plain("health", "Whether the service is up.", _JSON)},
        "/metrics": {"get": _plain("metrics", "Prometheus metrics.", "text/plain")},
    }
    for one in published:
        name = one.flywheel.name
        for path in [f"/decisions/{name}", *([f"/{one.flywheel.api}"] if one.flywheel.api else [])]:
            operation = path.strip("/").replace("/", "_")
            paths[path] = {
                "get": _read_best(one, f"{operation}_best"),
                "post": _read_many(one, f"{operation}_many"),
            }
            paths[path + "/{entity}"] = {"get": _read(one, operation)}
    return msgspec.json.encode(
        {
            "openapi": "3.1.0",
            "info": {
                "title": "flywheel-assets",
                "version": version("flywheel-assets"),
                "description": "Observations in, decisions out. An acknowledged observation is on "
                "disk. Errors are RFC 9457 problem details.",
            },
            "paths": paths,
            "components": {
                "schemas": components,
                "securitySchemes": {"key": {"type": "http", "scheme": "bearer"}},
            },
            "security": [{"key": []}, {}],
        }
    )


def _observe(record: Schema) -> Schema:
    several = {"type": "array", "items": record, "maxItems": MAX_RECORDS}
    return {
        "operationId": "log_observation",
        "summary": "Log what happened.",
        "description": "One record, an array of them, or one on each line. A record with the id of "
        "an earlier one is a duplicate if its content is the same, else a conflict. At most "
        f"{MAX_BODY} bytes and {MAX_RECORDS} records in a request, {MAX_RECORD} bytes in a record.",
        "requestBody": {
            "required": True,
            "content": {
                _JSON: {"schema": {"anyOf": [record, several]}},
                _LINES: {"schema": {"type": "string"}},
            },
        },
        "responses": {
            "200": _answers("A duplicate; or several records, all received.", Answer, Answers),
            "201": _answers("Received, and on disk.", Answer),
            "207": _answers("Some records were not received.", Answers),
            **_problems(400, 401, 403, 409, 413, 415, 421, 422, 429, 503, 507),
        },
    }


def _read(one: Published, operation: str) -> Schema:
    keys = one.entities.types
    slates = one.entities.per is not None
    joined = SEPARATOR.join(keys) + " (a bar within a key is ~1)"
    if slates:
        joined = f"{one.entities.per} for what it is shown, or {joined}"
    entity: Schema = {"type": "string", "description": joined, "minLength": 1}
    if len(keys) == 1:
        entity = msgspec.json.schema(next(iter(keys.values())))
    return {
        "operationId": operation,
        "summary": one.flywheel.description,
        "parameters": [
            {"name": "entity", "in": "path", "required": True, "schema": entity},
            _AS_OF,
        ],
        "responses": {
            "200": _answers("What was decided.", *([Shown] if slates else []), Decision),
            **_problems(401, 403, 404, 421, 422, 503),
        },
    }


def _read_best(one: Published, operation: str) -> Schema:
    actions = {"type": "string", "enum": list(one.flywheel.policy.actions)}
    limit = {"type": "integer", "minimum": 1, "maximum": MAX_RECORDS}
    return {
        "operationId": operation,
        "summary": f"{one.flywheel.description} Whom to act on, best first.",
        "parameters": [
            _query("action", "Only of this action; all but holding back, without.", actions),
            _query("limit", f"How many; {MAX_RECORDS}, without.", limit),
            _AS_OF,
        ],
        "responses": {
            "200": _answers("Whom to act on, of one partition.", Listed),
            **_problems(401, 403, 404, 421, 422, 503),
        },
    }


def _read_many(one: Published, operation: str) -> Schema:
    return {
        "operationId": operation,
        "summary": f"{one.flywheel.description} For many at once.",
        "requestBody": {
            "required": True,
            "content": {_JSON: {"schema": {"$ref": _TEMPLATE.format(name="Wanted")}}},
        },
        "responses": {
            "200": _answers("What was decided, in the order asked.", FoundAll),
            **_problems(400, 401, 403, 404, 413, 415, 421, 422, 503),
        },
    }


def _plain(operation: str, summary: str, media_type: str) -> Schema:
    return {
        "operationId": operation,
        "summary": summary,
        "responses": {
            "200": {"description": summary, "content": {media_type: {}}},
            **_problems(401, 421, 503),
        },
    }


def _answers(description: str, *types: type) -> Schema:
    references = [{"$ref": _TEMPLATE.format(name=t.__name__)} for t in types]
    schema = references[0] if len(references) == 1 else {"anyOf": references}
    return {"description": description, "content": {_JSON: {"schema": schema}}}


def _problems(*statuses: int) -> Schema:
    content = {MEDIA_TYPE: {"schema": {"$ref": _TEMPLATE.format(name="Problem")}}}
    return {str(s): {"description": TITLES[s], "content": content} for s in statuses}


def _has(name: str) -> Schema:
    return {"required": [name]}
