#!/usr/bin/env bash
# From a fresh clone to text: installs what is missing, builds, trains configs/quickstart.yaml on two ranks, shows a sample. A second call
# reuses the build and goes on with the run. Ctrl-C leaves a run that the next call resumes.
set -uo pipefail
cd "$(dirname "$0")/.."
started=$SECONDS
launch/build.sh || exit $?
built=$((SECONDS - started))
[ "$built" -gt 5 ] && echo "built in $built s"

run=runs/quickstart
for argument in "$@"; do
  case $argument in run.dir=*) run=${argument#run.dir=} ;; esac
done
launch/mpirun.sh configs/quickstart.yaml --ranks 2 "$@"
status=$?
if [ "$status" -ne 0 ]; then
  [ "$status" -eq 130 ] && echo "interrupted: launch/quickstart.sh goes on from the last step"
  exit "$status"
fi
printf '\n--- what it writes after "// "\n'
build/onegather generate "$run" --prompt '// ' --tokens 400 --temperature 0.6 || exit $?
cat <<END

plot        $run/loss.png
checkpoint  $(ls -d $run/checkpoints/step-* | tail -n 1)
metrics     $run/metrics.jsonl, summary in $run/summary.json

Try next:
  build/onegather generate $run --prompt 'template<typename ' --tokens 300
  build/onegather eval $run --data '/usr/include/c++/*/ext/*.h'
  launch/mpirun.sh configs/quickstart.yaml run.dir=runs/mine 'data.train=[YOUR_FILES]' 'data.eval=[YOUR_FILES]'
END
