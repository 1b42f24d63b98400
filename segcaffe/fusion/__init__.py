"""Rewriting graphs so that several layers run as one, and blobs in between are computed only when they are read."""
