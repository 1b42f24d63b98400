"""Reading data: lists, images, databases, transformation, prefetching. No layer code."""
