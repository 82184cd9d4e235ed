"""Simulated worlds that react to decisions, so that a whole loop can be shown and tested."""
