"""What the checks said last."""

from collections.abc import Sequence

import dagster as dg

LOOKED_BACK = 10
"""How many runs that never came to a check are passed over."""


def verdicts(
    instance: dg.DagsterInstance, keys: Sequence[dg.AssetCheckKey]
) -> dict[str, list[tuple[str, bool]]]:
    """Give the newest failures of some checks by table: what they say, and whether they warn."""
    storage = instance.event_log_storage
    newest = storage.get_latest_asset_check_execution_by_key(keys)
    found: dict[str, list[tuple[str, bool]]] = {}
    for key, record in newest.items():
        evaluation = _evaluation(record)
        if evaluation is None:  # a run that planned it and failed before: what was said stands
            earlier = storage.get_asset_check_execution_history(key, limit=LOOKED_BACK)
            evaluation = next(filter(None, map(_evaluation, earlier)), None)
        if evaluation is not None and not evaluation.passed:
            warns = evaluation.severity is dg.AssetCheckSeverity.WARN
            text = f"{key.name}: {evaluation.description}"
            found.setdefault("/".join(key.asset_key.path), []).append((text, warns))
    return found


def _evaluation(record: object) -> dg.AssetCheckEvaluation | None:
    event = getattr(getattr(record, "event", None), "dagster_event", None)
    data = getattr(event, "event_specific_data", None)
    return data if isinstance(data, dg.AssetCheckEvaluation) else None
