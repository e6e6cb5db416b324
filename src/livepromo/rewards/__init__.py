"""What is earned: amounts, validity, metadata."""
