"""Sources at URIs, fetched through fsspec."""
