"""How far to trust each pixel: the formulas, and what they have to learn from training pictures.

Everything here takes and gives NumPy arrays, but for :mod:`lanecli.uncertainty.graph`, whose torch modules compute the
same inside a network's graph. Probabilities come as *planes*: see :mod:`lanecli.uncertainty.entropy`.
"""
