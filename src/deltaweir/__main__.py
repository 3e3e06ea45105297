"""Run the command line with ``python -m deltaweir``."""

from deltaweir.cli import main

if __name__ == "__main__":
    main()
