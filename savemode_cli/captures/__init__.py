"""Recorded traffic: the store on disk, the sink that writes it while serving, and what it is exported as."""
