"""A run as a thread of this process or as processes of its own, from its directory to its end."""
