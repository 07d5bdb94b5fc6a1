# Sourced by the command line's tests: `expect` and `that` count checks and failures, in an empty folder $work.
set -u
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0 checks=0

# that WHAT COMMAND...: checks that the command succeeds.
that() {
  local what="$1"
  shift
  checks=$((checks + 1))
  "$@" && return
  failures=$((failures + 1))
  echo "FAIL: $what"
}

# expect CODE PATTERN COMMAND...: checks the exit code, and a pattern in the output (both streams).
expect() {
  local code="$1" pattern="$2" output status
  shift 2
  output="$("$@" 2>&1 </dev/null)"
  status=$?
  checks=$((checks + 1))
  if [ "$status" -ne "$code" ] || ! grep -q -e "$pattern" <<<"$output"; then
    failures=$((failures + 1))
    printf 'FAIL: %s\n  exit code %s, expected %s; wanted "%s" in:\n%s\n' "$*" "$status" "$code" "$pattern" "$output"
  fi
}
