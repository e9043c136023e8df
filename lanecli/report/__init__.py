"""Plots and pages of results."""
