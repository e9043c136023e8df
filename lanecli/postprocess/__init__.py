"""Refines class probabilities and class maps after the network."""
