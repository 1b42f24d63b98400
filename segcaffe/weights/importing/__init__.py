"""Weights of other frameworks for a net: which tensor is which parameter, and in what layout."""
