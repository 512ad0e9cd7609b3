"""From raw event logs to published models."""

import os

# OpenMP's threads spin while they wait for one another, which in loops as small as ours took up to 3.5 times as long
# beside other work on the same cores. They sleep instead, unless somebody has chosen. torch reads it when imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
