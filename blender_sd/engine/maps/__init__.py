"""A material's maps from one picture of it: three sources, and what follows from a height."""
