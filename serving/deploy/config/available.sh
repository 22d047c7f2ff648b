#!/bin/bash
# Asks the model server of this container which models of models.config have an AVAILABLE version, and ends with 0 if enough have.
#
#   available.sh every|any MODELS_CONFIG [REST_PORT]
#
# The server has no URL for that, its status URL is per model and is 200 whatever the state, and its image has neither curl nor
# wget; so this needs nothing but bash. An unreadable or empty models.config is not "every model": it fails.
set -u
wanted=$1 config=$2 port=${3:-8501}

# HTTP/1.0: the server closes after its answer. Reading ends by itself, or after two seconds if the server hangs.
available() {
  local line
  exec 3<>"/dev/tcp/127.0.0.1/$port" || return 1
  printf 'GET /v1/models/%s HTTP/1.0\r\nHost: localhost\r\n\r\n' "$1" >&3
  while IFS= read -r -t 2 line <&3 || [[ -n $line ]]; do
    if [[ $line =~ \"state\":\ *\"AVAILABLE\" ]]; then exec 3>&-; return 0; fi
  done
  exec 3>&-
  return 1
}

good=0 bad=() name="(^|[^A-Za-z_])name:[[:space:]]*[\"']([^\"']+)[\"']"
while IFS= read -r line || [[ -n $line ]]; do
  line=${line%%#*}
  while [[ $line =~ $name ]]; do
    line=${line#*"${BASH_REMATCH[0]}"}
    model=${BASH_REMATCH[2]}
    if available "$model" 2>/dev/null; then good=$((good + 1)); else bad+=("$model"); fi
  done
done <"$config"

((${#bad[@]} == 0)) || echo "no AVAILABLE version: ${bad[*]}" >&2
case $wanted in
  every) ((good > 0 && ${#bad[@]} == 0)) ;;
  any) ((good > 0)) ;;
  *) echo "usage: available.sh every|any MODELS_CONFIG [REST_PORT]" >&2; exit 2 ;;
esac
