"""What is done to the database file as a whole: copy it, put a copy back, make it smaller."""
