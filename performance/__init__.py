"""Speed and memory, measured side by side: `make bench` runs every section and writes BENCHMARKS.md.

Nothing here is imported by the other rooms, and nothing here is asserted: what is right is the tests' business. Every
section checks that the ways it compares give the same result before it times them.
"""
