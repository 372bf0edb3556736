"""The paper's figures from runs: what is drawn (data), and drawing it to a file (matplotlib)."""
