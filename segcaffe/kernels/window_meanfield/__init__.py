"""Mean-field inference whose filters are symmetric windows weighted by distances, on the CPU.

The weight of a neighbour is exp(-scale · distance) divided by its sum over the window. Before the division it is the
same seen from either pixel, and that half is all that is computed and kept; the filter's adjoint is the filter itself
with the division first. The gradient of the distances of all iterations is one pass over pairs of pixels.
"""
