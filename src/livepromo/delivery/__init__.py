"""What leaves for the endpoints of others: signed, guarded, retried until it is delivered or given up."""
