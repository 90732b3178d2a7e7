"""`python -m jobrunner` is `jobrunner`."""

from jobrunner.cli.app import main

if __name__ == "__main__":
    main()
