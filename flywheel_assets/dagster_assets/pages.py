"""Where the pages of the two tools are, so that each can lead to the other."""

import os

MLFLOW = "FLYWHEEL_MLFLOW_URL"
"""Names MLflow's address; without it, where `flywheel ui` serves it if it is not told otherwise."""


def run_url(path: str) -> str:
    """Give the address of a page of MLflow's.

    Examples
    --------
    >>> run_url("/#/experiments/1/runs/2")
    'http://127.0.0.1:5000/#/experiments/1/runs/2'
    """
    return os.environ.get(MLFLOW, "http://127.0.0.1:5000").rstrip("/") + path


def partition_page(table: str, partition: object) -> str:
    """Give the path of a partition's page in Dagster.

    Examples
    --------
    >>> partition_page("repurchase/model", "2026-01-05")
    '/assets/repurchase/model?view=partitions&partition=2026-01-05'
    """
    return f"/assets/{table}?view=partitions&partition={partition}"
