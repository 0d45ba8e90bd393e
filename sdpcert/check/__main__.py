"""`python -m sdpcert.check CERT.json`, or `python FOLDER CERT.json` for a folder that the files were copied to."""

import sys

if __package__:
    from .checker import main
else:
    from checker import main

sys.exit(main())
