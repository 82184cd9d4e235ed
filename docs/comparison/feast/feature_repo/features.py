"""What Feast knows: the entity, where the features are, what they are called."""

from datetime import timedelta

from feast import Entity, FeatureService, FeatureView, Field, FileSource, ValueType
from feast.types import Float64, Int64

customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)

source = FileSource(
    name="customer_orders_source",
    path="../data/customer_orders.parquet",
    timestamp_field="as_of",
)

customer_orders = FeatureView(
    name="customer_orders",
    entities=[customer],
    ttl=timedelta(days=1),
    schema=[
        Field(name="orders_7d", dtype=Int64),
        Field(name="orders_30d", dtype=Int64),
        Field(name="orders_90d", dtype=Int64),
        Field(name="revenue_30d", dtype=Float64),
        Field(name="revenue_90d", dtype=Float64),
        Field(name="recency_days", dtype=Float64),
    ],
    source=source,
    owner="growth@example.com",
)

repurchase = FeatureService(name="repurchase", features=[customer_orders])
