#!/usr/bin/env bash
# Builds the image and brings the whole of docker-compose.yml up with a stand-in upstream, has a picture made through
# it, checks what the compose file promises, and takes it down again. Not part of .ci/run: it needs a Docker engine, and
# what .ci/docker-standins.sh needs. Real base images are used where they are here, else stand-ins.
set -euo pipefail
cd "$(dirname "$0")/.."

project=zimage-smoke
work=$(mktemp -d)
if docker compose version >/dev/null 2>&1; then
  compose=(docker compose)
else
  compose=(docker-compose)
fi
compose+=(-p "$project" --env-file "$work/env" -f docker-compose.yml -f "$work/upstream.yml")

cleanup() {
  local status=$?
  if [ "$status" != 0 ] && [ -e "$work/upstream.yml" ]; then
    "${compose[@]}" ps || true
    "${compose[@]}" logs --no-color --tail 50 || true
  fi
  "${compose[@]}" down --volumes --timeout 5 >/dev/null 2>&1 || true
  docker image rm "$project-upstream" >/dev/null 2>&1 || true
  rm -rf "$work"
  [ "$status" = 0 ] || echo "docker smoke test: FAILED" >&2
}

fail() {
  echo "docker smoke test: $*" >&2
  exit 1
}

# expect WHAT GOT WANT
expect() {
  [ "$2" = "$3" ] || fail "$1: got '$2', want '$3'"
  echo "ok: $1: $2"
}

# build_upstream makes the image of an upstream that answers every call with the same picture: busybox and one script.
build_upstream() {
  local root=$work/upstream busybox
  busybox=$(command -v busybox)
  mkdir -p "$root"/{bin,www/cgi-bin}
  install "$busybox" "$root/bin/busybox"
  ln -s busybox "$root/bin/sh"
  cat >"$root/www/cgi-bin/generate" <<'SCRIPT'
#!/bin/sh
printf 'Content-Type: application/json\r\n\r\n'
printf '{"success": true, "data": {"image_url": "https://pictures.example/smoke.png"}}\n'
SCRIPT
  chmod 755 "$root/www/cgi-bin/generate"
  tar -C "$root" -c . |
    docker import --change 'CMD ["/bin/busybox", "httpd", "-f", "-p", "8000", "-h", "/www"]' - "$project-upstream" >/dev/null
}

write_settings() {
  cat >"$work/env" <<SETTINGS
GATEWAY_API_KEY=sk-smoke
SD_API_KEY=sd-smoke-secret
SD_API_URL=http://upstream:8000/cgi-bin/generate
PUBLISH=127.0.0.1:$port
SETTINGS
  cat >"$work/upstream.yml" <<YAML
services:
  upstream:
    image: $project-upstream
YAML
}

# containers SERVICE: the ids of its containers.
containers() {
  "${compose[@]}" ps -q "$1"
}

# wait_healthy: every container of redis, api and worker, within a minute and a half.
wait_healthy() {
  local deadline=$((SECONDS + 90)) ids states
  mapfile -t ids < <(containers redis; containers api; containers worker)
  while :; do
    states=$(docker inspect -f '{{.State.Health.Status}}' "${ids[@]}" | sort -u)
    [ "$states" != healthy ] || return 0
    [ "$SECONDS" -lt "$deadline" ] || fail "not healthy in time: $states"
    sleep 1
  done
}

# status ARG...: the HTTP status of a call; the body goes to $work/body.
status() {
  curl -sS -m 60 -o "$work/body" -w '%{http_code}' "$@"
}

# environment_names SERVICE: the variables its first container was handed.
environment_names() {
  docker inspect -f '{{range .Config.Env}}{{println .}}{{end}}' "$(containers "$1" | head -n 1)" | cut -d= -f1
}

redis_setting() {
  "${compose[@]}" exec -T redis redis-cli config get "$1" | tail -n 1 | tr -d '\r'
}

check_calls() {
  local base=http://127.0.0.1:$port
  expect "models without a key" "$(status "$base/v1/models")" 401
  expect "models" "$(status -H 'Authorization: Bearer sk-smoke' "$base/v1/models")" 200
  expect "a chat completion" "$(status -H 'Authorization: Bearer sk-smoke' -H 'Content-Type: application/json' \
    -d '{"messages": [{"role": "user", "content": "a cat, 16:9"}]}' "$base/v1/chat/completions")" 200
  grep -q 'https://pictures.example/smoke.png' "$work/body" || fail "no picture in $(cat "$work/body")"
  echo "ok: its picture is the upstream's"
}

check_promises() {
  expect "containers of the api" "$(containers api | wc -l)" 1
  expect "containers of the worker" "$(containers worker | wc -l)" 2
  expect "upstream key at the worker" "$(environment_names worker | grep -c '^SD_API_KEY$')" 1
  expect "upstream key at the api" "$(environment_names api | grep -c '^SD_API_KEY$')" 0
  expect "client keys at the worker" "$(environment_names worker | grep -c '^GATEWAY_API_KEY$')" 0
  expect "redis appendonly" "$(redis_setting appendonly)" yes
  expect "redis maxmemory-policy" "$(redis_setting maxmemory-policy)" noeviction
}

# check_stop: told to stop, api and workers exit by themselves with 0, well within the grace period.
check_stop() {
  local ids began=$SECONDS
  mapfile -t ids < <(containers api; containers worker)
  docker stop -t 45 "${ids[@]}" >/dev/null
  expect "exit codes after SIGTERM" "$(docker inspect -f '{{.State.ExitCode}}' "${ids[@]}" | sort -u | tr '\n' ' ')" "0 "
  [ $((SECONDS - began)) -lt 40 ] || fail "the stop took $((SECONDS - began)) s"
}

docker info >/dev/null || fail "no Docker engine"
port=${SMOKE_PORT:-18080}
trap cleanup EXIT
.ci/docker-standins.sh
build_upstream
write_settings
"${compose[@]}" build
"${compose[@]}" up -d --no-build
wait_healthy
check_calls
check_promises
check_stop
echo "docker smoke test: passed"
