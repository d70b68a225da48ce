#!/usr/bin/env bash
# All tests on several hosts of this machine: launch/mpirun.sh over TCP (mpirun.sh), launch/slurm.sbatch on a real Slurm (slurm.sh), the sweep of
# scaling.sh at short lengths (scaling_test.sh).
cd "$(dirname "$0")" || exit 1
log=$(mktemp)
trap 'rm -f "$log"' EXIT
for script in mpirun slurm scaling_test; do echo "== $script" && bash "$script.sh"; done 2>&1 | tee "$log"
awk '/^[0-9]+ passed, [0-9]+ failed/ { n++; passed += $1; failed += $3 } END { if (n != 3) failed++; print passed + 0 " passed, " failed + 0 " failed"; exit failed > 0 }' "$log"
