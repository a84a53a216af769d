#!/usr/bin/env bash
# Makes or mends .venv: Python 3.10, the packages of requirements.lock, and this project, editable.
#
#   scripts/bootstrap.sh         everything
#   scripts/bootstrap.sh bare    only .venv with uv in it (enough to write a new lock)
#
# PYTHON=/path/to/python3.10 chooses the interpreter.
set -euo pipefail
cd "$(dirname "$0")/.."

VENV=.venv
UNFINISHED=$VENV/.unfinished # stands while packages are being written: a killed run leaves it behind
SCRATCH=$(mktemp -d)
trap 'rm -rf "$SCRATCH"' EXIT

say() { printf '%s\n' "$*" >&2; }

# A pyenv shim exists and fails; Debian's bare python3 lacks ensurepip. So a candidate has to prove itself.
is_usable() { "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info[:2] != (3, 10))' >/dev/null 2>&1; }

find_python() {
  local candidate
  for candidate in "${PYTHON:-}" python3.10 python3 python "${PYENV_ROOT:-${HOME:-}/.pyenv}"/versions/3.10.*/bin/python; do
    if [ -n "$candidate" ] && is_usable "$candidate"; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}

# The lock's own lines for uv, hashes included.
pin_uv() { awk '/^uv==/ { inside = 1 } inside { print } inside && !/\\$/ { exit }' requirements.lock; }

# Lets uv, in a throw-away place, download a Python 3.10; prints its path.
fetch_python() {
  local any
  any=$(command -v python3 || command -v python) || return 1
  pin_uv >"$SCRATCH/uv.txt"
  if "$any" -m venv "$SCRATCH/uv" >/dev/null 2>&1; then
    "$SCRATCH/uv/bin/python" -m pip install --quiet --require-hashes -r "$SCRATCH/uv.txt" >/dev/null 2>&1 || return 1
  else # no python3-venv, but perhaps python3-pip
    "$any" -m pip install --quiet --require-hashes -r "$SCRATCH/uv.txt" --target "$SCRATCH/uv" >/dev/null 2>&1 || return 1
  fi
  "$SCRATCH/uv/bin/uv" --quiet python install --no-bin 3.10 >/dev/null 2>&1 || return 1
  "$SCRATCH/uv/bin/uv" --quiet python find --managed-python --no-project 3.10
}

make_venv() {
  local python
  if [ ! -e "$UNFINISHED" ] &&
    "$VENV/bin/python" -c 'import pip, sys; sys.exit(sys.version_info[:2] != (3, 10))' >/dev/null 2>&1; then
    return
  fi
  if ! python=$(find_python); then
    say "No Python 3.10 found; fetching one with uv ..."
    if ! python=$(fetch_python) || ! is_usable "$python"; then
      say "error: Python 3.10 is needed and could not be fetched: install it with its venv module" \
        "(python3.10 and python3.10-venv, or pyenv install 3.10), or name one: make PYTHON=/path/to/python3.10"
      exit 2
    fi
  fi
  rm -rf "$VENV"
  "$python" -m venv "$VENV"
}

install_uv() {
  if grep -qs '^uv==' requirements.lock; then
    pin_uv >"$SCRATCH/uv.txt"
    "$VENV/bin/python" -m pip install --quiet --require-hashes -r "$SCRATCH/uv.txt"
  else # the very first lock is still to be written
    "$VENV/bin/python" -m pip install --quiet uv
  fi
}

# uv is many times faster; pip knows the mirror of a pip.conf, which uv does not read.
install_packages() {
  local quiet=--quiet
  if [ -t 2 ]; then quiet=; fi
  say "Bringing $VENV to requirements.lock ($(grep -c '==' requirements.lock) packages; the first time 3 GB, minutes) ..."
  "$VENV/bin/uv" pip sync $quiet --python "$VENV/bin/python" --require-hashes --compile-bytecode requirements.lock ||
    "$VENV/bin/python" -m pip install $quiet --require-hashes -r requirements.lock
}

install_project() {
  PYTHONWARNINGS=ignore "$VENV/bin/python" -m pip install --quiet --no-deps --no-build-isolation -e .
}

make_venv
touch "$UNFINISHED"
install_uv
if [ "${1:-}" != bare ]; then
  install_packages
  install_project
fi
rm "$UNFINISHED"
