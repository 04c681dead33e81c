"""`python -m medtrim` is the command `medtrim`."""

from medtrim.cli import main

if __name__ == "__main__":
    main()
