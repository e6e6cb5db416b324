"""Promotion campaigns on a stream of events: rewards the moment they are earned, never twice, never over budget."""
