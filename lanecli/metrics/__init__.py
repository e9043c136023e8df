"""Metrics: counts that stream, then a named reduction."""
