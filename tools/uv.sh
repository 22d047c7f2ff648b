#!/usr/bin/env bash
# Runs uv with the arguments given: the uv on PATH if it is new enough, else the locked one of tools/uv.txt, which the pip of
# any python3 puts into .tools/uv (--target also works where the distribution forbids pip to install).
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
oldest=0.5.0

die() { echo "setup: $*" >&2; exit 1; }

version_of() { "$1" --version 2>/dev/null | awk '$1 == "uv" {print $2}'; }

new_enough() { # a pyenv shim named uv may exist and fail: only what answers with its version counts
  local version
  version=$(version_of "$1") && [[ -n $version && $(printf '%s\n' "$oldest" "$version" | sort -V | head -n 1) == "$oldest" ]]
}

python_with_pip() { # a virtual environment's python3, first on PATH when one is active, often has no pip
  local python
  while read -r python; do
    if "$python" -m pip --version &>/dev/null; then echo "$python"; return; fi
  done < <(type -aP python3)
}

share_pip_settings() { # uv does not read pip's: a mirror or a company's certificate set for pip alone must serve uv too
  local python index
  [[ -n ${SSL_CERT_FILE:-} || -z ${PIP_CERT:-} ]] || export SSL_CERT_FILE=$PIP_CERT
  [[ -z ${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-} ]] || return 0
  index=${PIP_INDEX_URL:-}
  python=$(python_with_pip)
  if [[ -z $index && -n $python ]]; then
    index=$("$python" -m pip config list 2>/dev/null | sed -n "s/^\(global\|install\)\.index-url='\(.*\)'$/\2/p" | tail -n 1)
  fi
  [[ -z $index ]] || export UV_DEFAULT_INDEX=$index
}

fetch() {
  local python
  python=$(python_with_pip)
  [[ -n $python ]] || die "uv is needed, and no python3 on PATH has pip to fetch it;" \
    "install it (apt install python3-pip) or put uv on PATH"
  rm -rf "$root/.tools/uv" "$root/.tools/uv.part"
  PIP_USER=0 PIP_REQUIRE_VIRTUALENV=0 PIP_ROOT_USER_ACTION=ignore PIP_DISABLE_PIP_VERSION_CHECK=1 "$python" -m pip install -q \
    --target "$root/.tools/uv.part" --only-binary :all: --require-hashes -r "$root/tools/uv.txt" >&2 ||
    die "pip could not install uv (see above); check the network and pip's index, or put uv $oldest or newer on PATH"
  mv "$root/.tools/uv.part" "$root/.tools/uv"
}

uv=$(type -P uv || true)
new_enough "$uv" || uv=$root/.tools/uv/bin/uv
new_enough "$uv" || fetch
share_pip_settings
exec "$uv" "$@"
