"""Search for settings: trials are ordinary runs, and the study is what their directories say."""
