"""Images with boxes, as SSD trains on them: what is drawn, cut out and changed, and what becomes of the boxes."""
