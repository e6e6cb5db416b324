"""Faust made fast and lossless: slices of a partition in, records of a journal out; knows no promotion."""
