"""
Recorded traffic: the store on disk, the sink that writes it during serving, and its export formats.
"""
