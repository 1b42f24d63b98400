"""The paper's claim, tried again: plain nets against segmentation-aware ones, over several seeds."""
