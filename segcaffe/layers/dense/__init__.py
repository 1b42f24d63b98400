"""Layers that multiply by learnt matrices: convolutions, inner products, embeddings of indices."""
