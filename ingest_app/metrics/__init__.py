"""Metrics for Prometheus, computed from the database: right with any number of processes."""
