"""What the service costs and how fast it is, side by side with what people would use instead."""
