"""What the machinery promises between Kafka and the handlers."""
