"""Tests: behaviour, on real Delta tables, a real MLflow store, a real Dagster instance."""
