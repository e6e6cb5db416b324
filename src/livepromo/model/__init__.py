"""The nouns of the promotion business; imports nothing of ours."""
