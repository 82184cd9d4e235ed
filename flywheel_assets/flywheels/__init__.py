"""Start here: one file per use case, made to be copied. ``FLYWHEELS`` lists those that run."""

from flywheel_assets.declare.flywheel import Flywheel
from flywheel_assets.flywheels.fraud import fraud
from flywheel_assets.flywheels.lead_scoring import lead_scoring
from flywheel_assets.flywheels.offer import offer
from flywheel_assets.flywheels.pricing import pricing
from flywheel_assets.flywheels.recommendation import recommendation
from flywheel_assets.flywheels.repurchase import repurchase
from flywheel_assets.flywheels.shop_contacts import shop_contacts

FLYWHEELS: tuple[Flywheel, ...] = (
    repurchase,
    shop_contacts,
    lead_scoring,
    fraud,
    recommendation,
    offer,
    pricing,
)
