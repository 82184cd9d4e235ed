"""The code location: `dg dev`, or `dagster asset materialize -m shop.definitions`."""

import dagster as dg
from shop import decisions, facts, features, ingest, model, training_set

assets = dg.load_assets_from_modules([ingest, facts, features, training_set, model, decisions])
turn = dg.define_asset_job("turn", dg.AssetSelection.all())
daily = dg.build_schedule_from_partitioned_job(turn, minute_of_hour=10)
defs = dg.Definitions(assets=assets, jobs=[turn], schedules=[daily])
