"""The fine-tuning methods, each in a folder of its own, behind one protocol.

A folder NAME holds `settings.py` (a subclass of `settings.MethodBase`: settings, words, closed
formulas; no torch) and `method.py` (a subclass of `base.Method`: how it attaches to a model).
Nothing else names it: `catalog` finds the folders. Folders of your own lie in a folder that the
environment variable CALISR_METHODS names.
"""

import os

HOMES = [folder for folder in os.environ.get("CALISR_METHODS", "").split(os.pathsep) if folder]
"""Folders beside this one in which methods are looked for."""

__path__ += HOMES
