"""The architectures in one registry, and the network that every command builds around them."""
