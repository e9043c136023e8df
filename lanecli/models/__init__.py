"""Architectures under one registry, and the network every command builds around them."""
