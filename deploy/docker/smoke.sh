#!/usr/bin/env bash
# With the stack up: SYNTHETIC films through all services to a prediction at the published port. `make smoke` calls it.
# Exits non-zero with a sentence at the first thing that is not as it should be. COMPOSE names the compose command.
set -euo pipefail
cd "$(dirname "$0")/../.."

readonly SERVICES=(redis s3 augment segment train inference inference-worker prometheus)
readonly PATIENTS=20 DATASET=smoke RUN_LIMIT_S=${SMOKE_RUN_LIMIT_S:-1200}
scratch=$(mktemp -d)
box=

say() { printf '\n-- %s\n' "$*"; }

fail() {
  printf 'smoke: %s\n' "$*" >&2
  exit 1
}

clean_up() {
  [[ -z $box ]] || docker rm --force "$box" >/dev/null 2>&1 || true
  rm -rf "$scratch"
}
trap clean_up EXIT

compose() {
  # COMPOSE is a command with its options:
  # shellcheck disable=SC2086
  ${COMPOSE:-docker compose} "$@"
}

mammo() { docker exec "$box" ./mammo "$@"; }

wait_for() { # wait_for SECONDS WHAT COMMAND...: until the command succeeds
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@"; do
    ((SECONDS < end)) || fail "$what"
    sleep 2
  done
}

healthy() { [[ $(compose ps --format '{{.Health}}' "$1") == healthy ]]; }

ready_with() { # the inference service answers with this version
  curl --noproxy "*" --silent --fail --max-time 5 "http://$inference/readyz" >"$scratch/ready" && grep --quiet --fixed-strings "$1" "$scratch/ready"
}

prometheus_says() { # prometheus_says QUERY: the query has an answer; Prometheus publishes no port
  [[ -n $(compose exec -T prometheus promtool query instant http://127.0.0.1:9090 "$1" 2>/dev/null) ]]
}

for tool in docker curl; do
  command -v "$tool" >/dev/null || fail "this script needs $tool"
done

say "waiting for the services to be healthy"
for service in "${SERVICES[@]}"; do
  wait_for 180 "$service is not healthy after 180 s; look at: ${COMPOSE:-docker compose} logs $service" healthy "$service"
  echo "$service is healthy"
done
inference=$(compose port inference 8080) || fail "inference publishes no port"

say "generating $PATIENTS patients and ingesting them"
box=$(compose run --detach --entrypoint sleep cli 3600 2>"$scratch/box" | tail -n 1)
[[ -n $box ]] || fail "no container for the command line: $(cat "$scratch/box")"
mammo synthesize /tmp/films --patients "$PATIENTS" || fail "films could not be generated"
mammo ingest /tmp/films --dataset "$DATASET" || fail "films could not be ingested"

say "running the pipeline with the profile 'test'"
timeout "$RUN_LIMIT_S" docker exec "$box" ./mammo run --dataset "$DATASET" --profile test --network resnet50 --protocol patient --from-scratch --wait |
  tee "$scratch/run" || fail "the run did not end well within $RUN_LIMIT_S s; look at: ${COMPOSE:-docker compose} logs augment segment train"
run=$(sed -n 's/^run \([^ ]*\) over .*/\1/p' "$scratch/run" | head -n 1)
[[ -n $run ]] || fail "'mammo run' did not say the name of its run"

say "promoting resnet50 $run"
mammo models promote resnet50 "$run" --reason "smoke test" ||
  fail "the model was not promoted; a stack that serves a better or a real model is none to run this on"
wait_for 90 "http://$inference/readyz does not answer with $run after 90 s" ready_with "$run"
cat "$scratch/ready"

say "predicting a film at the published port"
film=$(docker exec "$box" sh -c 'ls /tmp/films/films/*.pgm | head -n 1')
docker exec "$box" cat "$film" >"$scratch/film.pgm"
refused=$(curl --noproxy "*" --silent --max-time 60 --output /dev/null --write-out '%{http_code}' --data-binary "@$scratch/film.pgm" \
  "http://$inference/v1/predictions") || true
[[ $refused == 401 ]] || fail "http://$inference/v1/predictions answered $refused without an API key, and not 401"
# on standard input, so that the key stands in no list of processes
status=$(docker exec "$box" sh -c 'printf "Authorization: Bearer %s" "$MAMMO_API_KEY"' |
  curl --noproxy "*" --silent --show-error --max-time 60 --output "$scratch/prediction" --write-out '%{http_code}' --header @- \
  --header 'Content-Type: application/octet-stream' --data-binary "@$scratch/film.pgm" "http://$inference/v1/predictions") ||
  fail "http://$inference/v1/predictions does not answer"
cat "$scratch/prediction"
[[ $status == 200 ]] || fail "http://$inference/v1/predictions answered $status"
grep --quiet '"probabilities"' "$scratch/prediction" || fail "the answer holds no probabilities"
say "and by the command line inside the network"
mammo predict "$film" --url http://inference:8080 || fail "'mammo predict' failed"

say "looking at Prometheus"
for job in inference inference-worker augment segment train prometheus; do
  wait_for 60 "Prometheus can't reach its target $job" prometheus_says "min(up{job=\"$job\"}) == 1"
  echo "$job is up"
done
for stage in augment segment train evaluate publish promote; do
  wait_for 60 "Prometheus has no finished unit of the stage $stage" prometheus_says "sum(mammo_units_total{stage=\"$stage\",outcome=\"done\"}) > 0"
done
wait_for 60 "Prometheus has not counted the prediction" prometheus_says 'sum(mammo_predictions_total) > 0'
echo "the units of every stage and the prediction are counted"

printf '\nsmoke: all well; resnet50 %s answers at http://%s\n' "$run" "$inference"
