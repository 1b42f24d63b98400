"""Losses: scalars to be minimised."""
