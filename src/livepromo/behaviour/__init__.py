"""What a user did: decoding, conditions, who they are, repeats."""
