"""Tables of docs/validation.md and of the README, each from runs: a module for every kind."""
