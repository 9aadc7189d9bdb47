"""The proof of a raw store, repeated: `rawmill ingest --verify`."""
