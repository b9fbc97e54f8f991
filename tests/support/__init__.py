"""What several tiers of tests share: a clock moved by hand, a queue in one hand, checkers."""
