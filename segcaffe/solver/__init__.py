"""Solvers: they drive a net, decide what its gradients do to its parameters, and keep snapshots."""
