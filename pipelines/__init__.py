"""The stages as plain functions: ingest, windows, train, evaluate, registry, forecast, verify."""
