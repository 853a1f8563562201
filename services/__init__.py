"""Five services, each owning its database; none knows another."""
