"""Label maps of images: a net run over files, with everything around it that a paper's test does."""
