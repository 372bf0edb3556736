"""The zip that the GLUE server takes: one table of test predictions for each of its files."""
