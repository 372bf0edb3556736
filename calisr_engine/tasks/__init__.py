"""What an encoder is fine-tuned on: the tasks, their data, their metrics and the batch order."""
