"""Looking at trained weights: singular values, stable rank, Equation (3), singular vectors."""
