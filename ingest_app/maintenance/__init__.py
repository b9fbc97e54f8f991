"""What an operator does to the database file as a whole: copy it, put a copy back, compact it."""
