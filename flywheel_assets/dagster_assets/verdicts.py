"""What the checks said last."""

from collections.abc import Iterator, Sequence

import dagster as dg


def verdicts(
    instance: dg.DagsterInstance, keys: Sequence[dg.AssetCheckKey]
) -> dict[str, list[tuple[str, bool]]]:
    """Give the newest failures of some checks by table: what they say, and whether they warn."""
    newest = instance.event_log_storage.get_latest_asset_check_execution_by_key(keys)
    found: dict[str, list[tuple[str, bool]]] = {}
    for key, record in newest.items():
        for evaluation in _evaluations(record):
            if not evaluation.passed:
                warns = evaluation.severity is dg.AssetCheckSeverity.WARN
                text = f"{key.name}: {evaluation.description}"
                found.setdefault("/".join(key.asset_key.path), []).append((text, warns))
    return found


def _evaluations(record: object) -> Iterator[dg.AssetCheckEvaluation]:
    event = getattr(getattr(record, "event", None), "dagster_event", None)
    data = getattr(event, "event_specific_data", None)
    if isinstance(data, dg.AssetCheckEvaluation):
        yield data
