"""Settings of the whole test run."""

import os

# more threads than cores make small networks many times slower
os.environ.setdefault("OMP_NUM_THREADS", "1")
