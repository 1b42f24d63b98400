"""Figures of merit, without gradients."""
