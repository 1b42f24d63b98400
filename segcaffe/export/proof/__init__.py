"""Proof that an exported file computes what the net does: both are run on the same inputs and compared.

`prove` runs them, `blame` finds where two ways of computing part, `report` tells it, `record` keeps it beside the file.
"""
