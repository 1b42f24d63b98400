"""Finding what silently ruins training runs, in nets and solvers, before they run."""
