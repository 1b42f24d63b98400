"""The release, where what stands lowest can read it."""

__version__ = "0.1.0"
