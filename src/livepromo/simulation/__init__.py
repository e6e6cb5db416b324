"""`livepromo simulate`: the same engine over recorded records."""
