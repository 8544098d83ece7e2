"""What must not grow with the number of links."""
