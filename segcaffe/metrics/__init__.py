"""Numbers for papers: how well outputs agree with labels."""
