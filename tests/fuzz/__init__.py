"""Damaged files: each loads or raises an error of ours, in little time and memory. By hand: python -m tests.fuzz."""
