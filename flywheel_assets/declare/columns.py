"""What the columns mean that the flywheel itself writes, by name."""

from flywheel_assets.declare.rules import PARTITION

SYSTEM = {
    PARTITION: "The partition: the day (UTC) that the row belongs to.",
    "observation_id": "What makes the observation one of its kind.",
    "event_time": "When it happened (UTC).",
    "known_at": "When the flywheel learnt of it (UTC).",
    "as_of": "The moment that the features stand for: the close of the partition (UTC).",
    "valid_from": "Since when the attributes hold (UTC).",
    "is_closed": "Whether the entity was gone from the source then.",
    "is_cancellation": "Whether the row takes back an earlier one.",
    "retracts": "The observation_id that this row withdraws.",
    "corrects": "The observation_id that this row replaces.",
    "decision_id": "The decision that it is or answers: flywheel, partition and entity.",
    "entity_id": "The entity's keys as one text.",
    "flywheel": "Whose decision it is.",
    "decided_at": "The moment of the decision (UTC).",
    "action": "What was decided.",
    "score": "What the candidates were ranked by; null where the bootstrap rule gave none.",
    "rank": "The place in that ranking, or in its slate, from 1.",
    "propensity": "The exact probability of the action that was taken.",
    "explored": "Acted on though it was not certain, or given another arm than the best.",
    "model_version": "The champion that scored; null for the bootstrap rule.",
    "candidate": "Its keys, and what suggested it, as JSON.",
    "outcome": "1 when the outcome followed within the horizon, else 0.",
    "reward": "What the outcome was worth.",
    "weight": "1 over the propensity.",
}
