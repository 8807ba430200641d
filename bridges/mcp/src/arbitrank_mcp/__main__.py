"""The command line as `python -m arbitrank_mcp`."""

from arbitrank_mcp.main import main

if __name__ == "__main__":
    main()
