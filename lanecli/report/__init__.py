"""Plots and pages of what was measured."""
