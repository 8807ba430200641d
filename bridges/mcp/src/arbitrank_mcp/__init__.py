"""An MCP server before many others: finds the tools that fit a request, calls them, and learns from the calls."""
