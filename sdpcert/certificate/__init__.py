"""From a solver's point to a proved bound: repair, exact proof, file."""

from sdpcert.certificate.certificate import Certificate as Certificate
