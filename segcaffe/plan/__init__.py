"""The plan: which blobs share memory, and what is computed again to need less of it."""
