"""`livepromo dev`: an embedded broker, an embedded Redis, sample documents and traffic."""
