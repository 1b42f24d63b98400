"""Weights between formats, and what one does with them: look, compare, rename, merge."""
