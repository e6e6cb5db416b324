"""Within every limit, once: deciding, the table that it checks, and how the ledger rebuilds it."""
