"""
Reads files of recorded traffic into values of the core.

Rule of this package: a reader converts records and does not interpret them. It recognises a file by its content, reads it
as a stream, counts and lists the records that it cannot read, and continues. To add a format, write one file with a
`Reader` and add one line to `registry`.
"""
