"""What leaves: the relay of grants."""
