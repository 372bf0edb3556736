"""What comes out of a run: the best model, its export and predictions, the audit."""
