"""
Coverage-guided fuzzing, by hand: `pip install atheris`, then `python -m tests.fuzz TARGET [SECONDS] [CORPUS]`.

Hypothesis, in the ordinary tests, knows what bodies look like and turns every corner of them; this knows nothing, follows
the branches, and finds what nobody thought of. A crash that it finds becomes a test.
"""
