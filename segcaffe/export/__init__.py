"""Nets written out for other frameworks: `source` has the net, each format a folder of its own."""
