"""The fine-tuning methods, each in a folder of its own, behind one protocol (`base`)."""
