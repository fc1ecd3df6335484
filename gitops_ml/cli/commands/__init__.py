"""The commands, one module for those that belong together; `main` imports the module whose command was typed."""
