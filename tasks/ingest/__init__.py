"""Ingest: decode source files as they were, calibrate, label, tile and split them into raw stores."""
