"""Recurrent networks, unrolled in time."""
