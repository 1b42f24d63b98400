"""Pictures a person wants to see."""
