"""What a run is: the settings, their files and where each value came from."""
