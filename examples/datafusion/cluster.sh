#!/usr/bin/env bash
# One plan on a cluster: a scheduler, two executors and a server of models as processes of their own
# on loopback. Runs the query in one process, then on the cluster, then on the cluster with an
# executor killed half way, and compares answers, calls and reports. Stops whatever it started.
#
#   ./cluster.sh [ITEMS]        4,000 reviews by default
set -euo pipefail
cd "$(dirname "$0")"
items=${1:-4000}
cargo build --features cluster
target=$(cargo metadata --no-deps --format-version 1 | sed 's/.*"target_directory":"\([^"]*\)".*/\1/')
here=$target/debug/datafusion-plan
work=$(mktemp -d)
declare -A pid=()

stop() {
    local each
    for each in "$@"; do
        if [ -n "${pid[$each]:-}" ]; then
            kill "${pid[$each]}" 2>/dev/null || true
            wait "${pid[$each]}" 2>/dev/null || true
            unset "pid[$each]"
        fi
    done
}
finish() {
    local code=$?
    stop "${!pid[@]}"
    if [ $code -ne 0 ]; then
        for log in "$work"/*/*.log; do echo "== ${log##*/}"; tail -n 15 "$log"; done >&2
    fi
    rm -rf "$work"
    exit $code
}
trap finish EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
listening() { # PORT: waits until someone does
    for _ in $(seq 300); do
        if (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; then return; fi
        sleep 0.1
    done
    fail "nobody listens on $1"
}

mapfile -t port < <("$here" ports --count 6)
models=127.0.0.1:${port[0]}
scheduler=127.0.0.1:${port[1]}

serve_models() { # RUN: a server that starts counting from nothing
    mkdir -p "$work/$1/journals"
    "$here" models --address "$models" --latency "${latency:-20}" >"$work/$1/models.log" 2>&1 &
    pid[models]=$!
    listening "${port[0]}"
}
start_executor() { # RUN NAME PORT PORT
    "$here" executor --scheduler "$scheduler" --ports "$3,$4" --models "$models" \
        --journals "$work/$1/journals" --work "$work/$1/$2" >"$work/$1/$2.log" 2>&1 &
    pid[$2]=$!
    listening "$3"
}
start_cluster() { # RUN
    serve_models "$1"
    "$here" scheduler --address "$scheduler" >"$work/$1/scheduler.log" 2>&1 &
    pid[scheduler]=$!
    listening "${port[1]}"
    start_executor "$1" left "${port[2]}" "${port[3]}"
    start_executor "$1" right "${port[4]}" "${port[5]}"
}
ask() { # RUN COMMAND...: the query, with the answers and the report in the run's directory
    local run=$1
    shift
    "$here" "$@" --dir "$work/reviews" --plan "$work/plan.json" --profiled "$work/profiled.json" \
        --journals "$work/$run/journals" --answers "$work/$run/answers.csv" \
        --report "$work/$run/report.json" >"$work/$run/query.log" 2>&1
}
count() { awk -F'\t' '{ all += $1; if ($1 > 1) again += $1 - 1 } END { print all + 0, again + 0 }' "$1"; }

"$here" reviews --dir "$work/reviews" --items "$items" --files 8

echo "-- the plan"
latency=0 serve_models plan
"$here" plan --dir "$work/reviews" --models "$models" --agreement 0.97 --seed 1 \
    --plan "$work/plan.json" --report "$work/profiled.json"
stop models

echo "-- one process"
serve_models one
ask one query --models "$models"
"$here" calls --models "$models" >"$work/one/calls.tsv"
stop models
cat "$work/one/query.log"

echo "-- two executors"
start_cluster two
ask two submit --scheduler "$scheduler"
"$here" calls --models "$models" >"$work/two/calls.tsv"
stop models scheduler left right
cmp "$work/one/answers.csv" "$work/two/answers.csv" || fail "other answers"
cmp "$work/one/calls.tsv" "$work/two/calls.tsv" || fail "other calls"
cmp "$work/one/report.json" "$work/two/report.json" || fail "another report"
for each in left right; do
    [ -n "$(find "$work/two/$each" -type f -print -quit)" ] || fail "$each did nothing"
done
echo "the same answers, calls and report: $(count "$work/two/calls.tsv" | cut -d' ' -f1) calls"

echo "-- two executors, one killed"
start_cluster kill
ask kill submit --scheduler "$scheduler" &
query=$!
pid[query]=$query
third=$(($(wc -l <"$work/one/calls.tsv") / 3))
held() { find "$work/kill/journals" -name '*.jsonl' -exec cat {} + 2>/dev/null | wc -l; }
for _ in $(seq 600); do
    if [ "$(held)" -ge "$third" ]; then break; fi
    kill -0 $query 2>/dev/null || break
    sleep 0.05
done
kill -0 $query 2>/dev/null || fail "the query ended before the kill: take more items"
kill -9 "${pid[left]}"
wait "${pid[left]}" 2>/dev/null || true
unset "pid[left]"
cp -r "$work/kill/journals" "$work/kill/held"
echo "killed with $(find "$work/kill/held" -name '*.jsonl' | wc -l) batches begun," \
    "$(find "$work/kill/held" -name '*.report.json' | wc -l) of them finished"
wait $query || fail "the query did not survive"
unset "pid[query]"
"$here" calls --models "$models" >"$work/kill/calls.tsv"
cmp "$work/one/answers.csv" "$work/kill/answers.csv" || fail "other answers after the kill"
echo "the same answers"
"$here" repaid --models "$models" --journals "$work/kill/held" ||
    fail "a call that a journal held was made again"
read -r all again < <(count "$work/kill/calls.tsv")
cut -f2- "$work/one/calls.tsv" >"$work/asked.one"
cut -f2- "$work/kill/calls.tsv" | cmp - "$work/asked.one" || fail "asked about other items"
echo "$all calls, of which $again were under way at the kill and made again"
[ "$again" -le 16 ] || fail "more was made again than can have been under way (2 cores, 8 calls)"
# The reports agree but for what was recalled from journals.
strip() { sed 's/"recalled": [0-9]*/"recalled": _/' "$1"; }
cmp <(strip "$work/one/report.json") <(strip "$work/kill/report.json") || fail "another report"
echo "the same report, but for what was recalled: $(
    grep -o '"recalled": [0-9]*' "$work/kill/report.json" | awk '{ n += $2 } END { print n }') calls"
echo "passed"
