"""
All decisions of savemode, as pure functions: no clock, no I/O, no global state. The same inputs give the same outputs.

Rule of this package: it imports the pure parts of the standard library, one JSON parser, and itself. Which of its
packages may import which is a contract of import-linter in `pyproject.toml`; `docs/architecture.md` describes each
package.
"""
