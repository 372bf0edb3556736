"""A method from outside the package, as small as a method can be."""
