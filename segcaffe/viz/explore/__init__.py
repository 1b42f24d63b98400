"""A page to look through the masks of a net: `page` puts it together, `scene` has what is on it, `pack` its arrays."""
