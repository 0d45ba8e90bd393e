"""Check a Lipschitz certificate, a file of radii or a proof for all weights: the program.

    python checker.py CERT.json        exit 0: proved, 1: rejected, 2: unreadable file or wrong usage

The files of this folder were written from docs/certificate-format.md, import nothing of sdpcert and run wherever they
are copied together; `python FOLDER CERT.json` and `python -m sdpcert.check CERT.json` are the same program. They need
Python 3.10 or later and its standard library; NumPy only if a network on a torus, or on a region with its pieces, is
too large for integers.

What a certificate claims: the network in the file satisfies |f(x) - f(x')| <= upper |x - x'| in Euclidean norms, for
all inputs or those of a region, in real arithmetic. A file of radii claims how far each of some inputs may be changed
before the network's greatest output is another. The proof in the file is not believed but replayed:

1. `reading.py` parses JSON and single values;
2. `tree.py` turns them into the claim tree; its parts are conditions (`condition.py`), of a stacked form (`stacked.py`)
   or of a network on a torus (`torus.py`), sequences of parts that fit together (`sequence.py`), and networks on a
   region (`region.py`) that is divided into pieces (`cover.py`, `network.py`, `activations.py`, `pieces.py`);
3. `stacked.py` proves a condition in integers, `torus_integers.py` or `floating.py` those on a torus, `replay.py` or
   `cover_floating.py` the pieces of a region, quadratic bounds by `quadratic.py` or `quadratic_floating.py`;
4. `radii_file.py` reads files of radii (`differences.py`, `constants.py`, `entries.py`), whose pieces are proved by the
   same replays and whose margins at points `margins.py` encloses; `radii_claim.py` has their words;
5. `proof_checker.py`, which is a program of its own, checks proofs for all weights (docs/proof-format.md);
6. `verdict.py` says what came out.
"""

import importlib
import os
import sys
import types

# This file is parsed before the version is compared: nothing in it is newer than Python 2, annotations included.
if sys.version_info < (3, 10):  # noqa: UP036
    sys.stderr.write("checker.py needs Python 3.10 or later\n")
    sys.exit(2)

if __package__:
    from .verdict import main
else:  # files lying loose in a folder: they become a package, whatever the folder's name, and import one another
    _files = types.ModuleType("sdpcert_check_files")
    _files.__path__ = [os.path.dirname(os.path.abspath(__file__))]
    sys.modules.setdefault(_files.__name__, _files)
    main = importlib.import_module(_files.__name__ + ".verdict").main

if __name__ == "__main__":
    sys.exit(main())
