"""Layers that rescale values by statistics of their neighbours, their channel or their batch."""
