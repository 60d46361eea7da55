"""`python -m crdtstate`."""

from crdtstate.cli.main import main

if __name__ == "__main__":
    main()
