"""Lane segmentation from a command line."""

__version__ = "0.1.0"
