"""Regularisers of the full phase, each in a folder of its own, behind one protocol.

A folder NAME holds `settings.py` (a subclass of `settings.RegularizerBase`: settings and words; no
torch) and `regularizer.py` (a subclass of `base.Regularizer`: what it does in a run). Nothing else
names it: `catalog` finds the folders. They combine with every method that they do not refuse.
"""
