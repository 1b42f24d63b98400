"""What ties rooms together besides imports: second names of modules, and what lower rooms ask of higher ones."""
