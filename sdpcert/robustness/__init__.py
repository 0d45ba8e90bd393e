"""How far inputs may move before a classifier's answer changes: proved radii, and certified accuracy.

`certified` has `radii`, which reads as its `steps`: inputs that are right (`enclosure`), constants of pairs of classes
(`constants`, `by_constants`), an attack (`attack`), then the largest radius of every input that branch and bound proves
(`one_input`, `searching`, `separating`). `statement` makes the file, `result` is what comes back, `binding` compares a
file with a model. At level F margins have to be above what float32 programs may be wrong by (`needed`, `execution`,
`links`).
"""

from sdpcert.robustness.certified import radii as radii
from sdpcert.robustness.result import Radii as Radii
