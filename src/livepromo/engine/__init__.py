"""Records in, candidates out: the one place where order is decided."""
