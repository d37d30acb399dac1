"""A short run of the mutation fuzzer; the long one is ``make fuzz``."""

import subprocess
import sys


def test_some_tens_of_mutants_are_accepted_or_refused_in_good_order(tmp_path):
    command = [sys.executable, "-m", "Testing.Fuzz.run", "--mutants", "40", "--seed", "7", "--jobs", "1"]
    done = subprocess.run([*command, "--keep", str(tmp_path)], capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "worker messages" in done.stdout
