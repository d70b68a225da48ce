#!/bin/sh
# mpirun.sh MPIEXEC RANKS PROGRAM ARGUMENTS..: runs it, oversubscribed, and prints "[status N]" last.
mpiexec=$1 ranks=$2
shift 2
export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
"$mpiexec" -np "$ranks" --oversubscribe --bind-to none "$@" </dev/null 2>&1
printf '[status %s]\n' $?
