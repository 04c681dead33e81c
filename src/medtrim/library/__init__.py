"""The public library in front of the packages: tables, arrays and texts in, matched by study id.

Import its names from `medtrim`; what they do is implemented in the packages behind it.
"""
