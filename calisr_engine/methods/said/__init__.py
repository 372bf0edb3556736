"""SAID: structure-aware intrinsic dimension."""
