"""One self-contained page for a saved run, comparison or sweep."""
