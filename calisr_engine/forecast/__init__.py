"""What a run or a grid would do and take, before anything trains."""
