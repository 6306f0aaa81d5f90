#!/usr/bin/env bash
# Builds stand-ins for the base images of Dockerfile and docker-compose.yml out of what this machine has installed, for
# machines that cannot pull: golang:1.26 (this machine's Go and the modules of go.mod) and redis:7-alpine (its
# redis-server). A real image of the same name is left alone. Never push a stand-in.
#
#   .ci/docker-standins.sh            build those that are missing or stale
#   .ci/docker-standins.sh --remove   remove them again
#
# Needs root, a Docker engine, Go, redis-server and busybox (Debian: docker.io redis-server busybox-static).
set -euo pipefail
cd "$(dirname "$0")/.."

label=zimage-gateway.stand-in
golang=golang:1.26
redis=redis:7-alpine

# made_of says what a stand-in depends on; it is the value of the label.
made_of() {
  { cat .ci/docker-standins.sh go.mod go.sum; go version; redis-server --version; } | sha256sum | cut -c 1-16
}

# mark NAME: the label of a local image, empty for a real one; fails if there is no such image.
mark() {
  docker image inspect -f "{{index .Config.Labels \"$label\"}}" "$1" 2>/dev/null
}

# add_program ROOT FILE...: copies programs to the same paths under ROOT, with the libraries they are linked to.
add_program() {
  local root=$1 program library
  shift
  for program in "$@"; do
    install -D "$(readlink -f "$program")" "$root$program"
    # ldd fails on a static program, which has none.
    { ldd "$program" 2>/dev/null || true; } | awk '{ for (i = 1; i <= NF; i++) if ($i ~ "^/") print $i }' |
      while read -r library; do
        [ -e "$root$library" ] || install -D "$(readlink -f "$library")" "$root$library"
      done
  done
}

# add_base ROOT: a shell and the usual small programs, users, /tmp.
add_base() {
  local root=$1 busybox applet
  busybox=$(command -v busybox)
  mkdir -p "$root"/{bin,etc,root,usr/bin}
  install -m 1777 -d "$root/tmp"
  add_program "$root" "$busybox"
  for applet in $("$busybox" --list); do
    [ -e "$root/bin/$applet" ] || ln -s "$busybox" "$root/bin/$applet"
  done
  printf '%s\n' root:x:0:0::/root:/bin/sh redis:x:999:1000::/data:/bin/sh >"$root/etc/passwd"
  printf '%s\n' root:x:0: redis:x:1000: >"$root/etc/group"
}

# import NAME ROOT CHANGE...: makes the tree an image.
import() {
  local name=$1 root=$2 change changes=()
  shift 2
  for change in "LABEL $label=$(made_of)" "$@"; do
    changes+=(--change "$change")
  done
  tar -C "$root" -c . | docker import "${changes[@]}" - "$name" >/dev/null
  echo "$name: stand-in built"
}

build_golang() {
  local root=$1 goroot
  goroot=$(go env GOROOT)
  add_base "$root"
  install -D /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  mkdir -p "$root/usr/local"
  cp -a "$goroot" "$root/usr/local/go"
  # A module proxy of files, so that the build needs no network: the modules of go.mod, from this machine's own cache
  # where it has them.
  GOFLAGS='' GOMODCACHE="$root/modules" GOPROXY="file://$(go env GOMODCACHE)/cache/download,$(go env GOPROXY)" \
    go mod download
  mv "$root/modules/cache/download" "$root/proxy"
  chmod -R u+w "$root/modules"
  rm -rf "$root/modules"
  import "$golang" "$root" 'WORKDIR /go' 'ENV GOPATH=/go' 'ENV GOTOOLCHAIN=local' 'ENV GOPROXY=file:///proxy' \
    'ENV PATH=/go/bin:/usr/local/go/bin:/usr/local/bin:/usr/bin:/bin'
}

build_redis() {
  local root=$1
  add_base "$root"
  add_program "$root" /usr/bin/redis-server /usr/bin/redis-cli
  install -o 999 -g 1000 -d "$root/data"
  # Like the real image: options alone mean redis-server, and it listens for other containers.
  cat >"$root/entrypoint" <<'SCRIPT'
#!/bin/sh
[ "${1#-}" = "$1" ] || set -- redis-server "$@"
[ "$1" != redis-server ] || set -- "$@" --protected-mode no
exec "$@"
SCRIPT
  chmod 755 "$root/entrypoint"
  import "$redis" "$root" 'WORKDIR /data' 'VOLUME /data' 'EXPOSE 6379' 'ENV PATH=/usr/local/bin:/usr/bin:/bin' \
    'ENTRYPOINT ["/entrypoint"]' 'CMD ["redis-server"]'
}

remove() {
  local name
  for name in "$golang" "$redis"; do
    if [ -n "$(mark "$name" || true)" ]; then
      docker image rm "$name"
    fi
  done
}

docker info >/dev/null
if [ "${1-}" = --remove ]; then
  remove
  exit
fi
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
chmod 755 "$work"
for image in golang redis; do
  name=${!image}
  if ! found=$(mark "$name") || { [ -n "$found" ] && [ "$found" != "$(made_of)" ]; }; then
    mkdir "$work/$image"
    "build_$image" "$work/$image"
  elif [ -n "$found" ]; then
    echo "$name: stand-in is up to date"
  else
    echo "$name: the real image is here"
  fi
done
