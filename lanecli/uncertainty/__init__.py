"""How far to trust each pixel: the formulas, and the statistics that some of them need from training pictures.

Everything here takes and returns NumPy arrays, except :mod:`lanecli.uncertainty.graph`, whose torch modules compute the
same inside a network's graph. Probabilities are given as *planes*: see :mod:`lanecli.uncertainty.entropy`.
"""
