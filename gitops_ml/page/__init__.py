"""The page that shows where everything stands: HTML and inline SVG from facts, without I/O."""
