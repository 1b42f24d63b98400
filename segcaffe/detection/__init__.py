"""Boxes: how they are coded, compared, thinned out, matched and judged.

A box is (xmin, ymin, xmax, ymax), in parts of the image's width and height unless said otherwise.
"""
