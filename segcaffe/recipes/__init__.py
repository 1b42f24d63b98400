"""The paper's networks, written by functions: templates of `configs/` and nets of the demo come from here."""
