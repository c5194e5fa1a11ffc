"""Data sets: raw pictures to prepared faces to batches."""
