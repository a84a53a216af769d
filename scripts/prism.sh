#!/bin/sh
# Builds Prism, Beam's portable engine in Go, once, into the folder given; prints nothing when it is there.
# Beam's own release of the Python version in use lacks a checksum in Go's database; this one is served.
set -eu
version=v2.77.0
folder=$1
[ -x "$folder/prism-$version" ] || {
  command -v go >/dev/null || { echo "error: Prism is built with Go, and there is no command go" >&2; exit 1; }
  echo "building Prism $version, about 3 minutes"
  mkdir -p "$folder"
  GOBIN=$(cd "$folder" && pwd) \
    go install "github.com/apache/beam/sdks/v2/go/cmd/prism@$version"
  mv "$folder/prism" "$folder/prism-$version"
}
ln -sfn "prism-$version" "$folder/prism"
