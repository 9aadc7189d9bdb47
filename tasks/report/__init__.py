"""The report: one self-contained page of what went in, what came out, how good it is and where it comes from."""
