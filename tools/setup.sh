#!/usr/bin/env bash
# Makes .venv hold exactly what the lock says, and does nothing when it already does.
#   tools/setup.sh run    requirements.txt
#   tools/setup.sh dev    also requirements-dev.txt: the tools of `make test` and `make lint`
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

stamp=.venv/.installed       # "<level> <digest of the locks>" of the last complete installation
unfinished=.venv/.unfinished # exists while packages are being written

say() { echo "setup: $*" >&2; }
die() { say "$@"; exit 1; }

# Isolated (-I) and without site-packages (-S): quick, and deaf to the caller's PYTHON* variables.
is_310() { [[ -n $1 ]] && "$1" -ISc 'import sys; sys.exit(sys.version_info[:2] != (3, 10))' &>/dev/null; }
has_headers() { "$1" -ISc 'import sys, sysconfig; open(sysconfig.get_path("include") + "/Python.h")' &>/dev/null; }

uv_python() { UV_PYTHON_PREFERENCE=only-managed tools/uv.sh python "$@" 2>/dev/null; }

# Prints a Python 3.10 that really runs (a pyenv shim can exist and fail), rather one with headers: one package has no wheel.
find_python() {
  local candidate spare=
  if is_310 "${PYTHON:-}"; then echo "$PYTHON"; return; fi
  [[ -z ${PYTHON:-} ]] || say "PYTHON=$PYTHON is not a working Python 3.10; looking elsewhere"
  while read -r candidate; do
    [[ $candidate != "$PWD"/.venv/* ]] && is_310 "$candidate" || continue # an activated .venv is about to be replaced
    if has_headers "$candidate"; then echo "$candidate"; return; fi
    spare=$candidate
  done < <(type -aP python3.10 python3; compgen -G "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.10*/bin/python")
  uv_python find --system --no-python-downloads 3.10 && return
  uv_python install -q 3.10 && uv_python find --system --no-python-downloads 3.10 && return
  echo "$spare"
}

make_venv() {
  local python
  tools/uv.sh --version >/dev/null
  python=$(find_python)
  [[ -n $python ]] || die "no Python 3.10 found; get one with 'apt install python3.10-dev', 'pyenv install 3.10' or" \
    "'tools/uv.sh python install 3.10', or name one: make setup PYTHON=/path/to/python3.10"
  rm -rf .venv
  tools/uv.sh venv -q --no-project --python "$python" .venv
}

has_compiler() { # the ones that this Python was built with, and so builds extensions with
  local tool tools
  tools=$(.venv/bin/python -Ic 'import sysconfig as s; print(*(s.get_config_var(key).split()[0] for key in ("CC", "CXX")))')
  for tool in $tools; do type -P "$tool" >/dev/null || return 1; done
}

# pyfarmhash (of TFX) is published as source only. Where no C++ compiler is installed, one from the package index builds it.
find_compiler() {
  if [[ -n ${CXX:-} ]] || has_compiler; then return; fi
  if [[ ! -d .tools/zig ]]; then
    say "no C++ compiler here; fetching one into .tools/zig for the one package without a wheel, which takes a minute more"
    rm -rf .tools/zig.part
    tools/uv.sh pip install -q --python .venv/bin/python --target .tools/zig.part --require-hashes -r tools/zig.txt
    mv .tools/zig.part .tools/zig
  fi
  export CC="'$PWD/.tools/zig/ziglang/zig' cc" CXX="'$PWD/.tools/zig/ziglang/zig' c++"
}

packages() { grep -ho '^[a-zA-Z0-9._-]*==' "${locks[@]}" | sort -u | wc -l; }

install() { # --build-constraints: what builds the source packages is locked as well
  local quiet=(-q)
  [[ -t 2 ]] && quiet=()
  rm -f "$stamp"
  : >"$unfinished"
  find_compiler
  say "installing $(packages) locked packages into .venv; about a minute on a fast line"
  tools/uv.sh pip sync "${quiet[@]}" --python .venv/bin/python --require-hashes \
    --build-constraints requirements.txt "${locks[@]}"
  echo "$wanted" >"$stamp"
  rm "$unfinished"
}

level=${1:-}
case $level in
run | dev) ;;
*) die "expected 'run' or 'dev', got '$level'" ;;
esac
[[ $(cat "$stamp" 2>/dev/null) != dev\ * ]] || level=dev # never take the tools away again
locks=(requirements.txt)
[[ $level == run ]] || locks+=(requirements-dev.txt)
wanted="$level $(cat "${locks[@]}" | sha256sum | cut -d ' ' -f 1)"

if [[ -e $unfinished ]] || ! is_310 .venv/bin/python; then make_venv; fi
[[ $(cat "$stamp" 2>/dev/null) == "$wanted" ]] || install
