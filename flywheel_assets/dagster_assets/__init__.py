"""The compiler from declarations to Dagster assets; the one place with Dagster in it."""
