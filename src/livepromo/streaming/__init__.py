"""Faust made fast and lossless; knows no promotion."""
