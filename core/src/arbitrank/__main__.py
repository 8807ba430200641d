"""`python -m arbitrank` is the command `arbitrank`."""

from arbitrank.cli.main import main

if __name__ == "__main__":
    main()
