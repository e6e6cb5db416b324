"""Text → catalogue: reading, checking, references, publications in order."""
