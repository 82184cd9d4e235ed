"""Forgetting somebody: out of every file below a home, for good, and kept out.

::

    sought.py       what is looked for: in a row, in a text, in bytes
    tables.py       Delta tables, past versions and logs included
    databases.py    SQLite files: the inbox, MLflow's, Dagster's
    sources.py      a source's own files, where they lie below the home
    files.py        all other files
    searching.py    the search of everything afterwards, compressed files opened
    suppressed.py   salted digests, so that a source does not bring them back
    receipts.py     what was done, without what it was done to
"""
