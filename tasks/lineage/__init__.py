"""Where every output comes from: digests, recipes, the ledger, audit, trace and their exports."""
