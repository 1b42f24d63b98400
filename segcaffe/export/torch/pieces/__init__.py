"""Functions and classes for written files, which are copied from here; nothing imports them."""
