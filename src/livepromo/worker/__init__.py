"""The order of steps: match, decide, deliver; the only room that knows engine, ledger and streaming."""
