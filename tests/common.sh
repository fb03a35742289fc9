# shellcheck shell=bash
# The common part of tests/run, tests/lint and tests/matrix. They source this from the root of the clone and set `program` to their name.

# shellcheck source=softhsm/common.sh
source softhsm/common.sh

export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-$PWD/target}
# The tests mostly wait for processes, devices and clocks.
export RUST_TEST_THREADS=${RUST_TEST_THREADS:-$((2 * $(nproc)))}
# Backtraces hide the message and the proxy's log that a failed test prints.
export RUST_BACKTRACE=${RUST_BACKTRACE_OF_TESTS:-0}
logs=$CARGO_TARGET_DIR/test-logs
mkdir -p "$logs"

# --- steps ------------------------------------------------------------------------------------------------------------

# Prints the current step and its usual time on a terminal. Otherwise prints nothing: a log shows only failures.
progress() { [[ ! -t 2 ]] || say "$program: $*"; }

# Runs a step. Prints its output only if it fails, and stops then.
step() { # name, what it does and its usual time, command …
  local log=$logs/$1.log
  progress "$2"
  shift 2
  "$@" >"$log" 2>&1 && return
  cat "$log" >&2
  die "failed: $*"
}

# Runs tests. Prints the runner's summary, or the whole output if a test failed.
run_tests() { # name, what it does and its usual time, arguments of cargo test …
  local log=$logs/$1.log
  progress "$2"
  shift 2
  if ! cargo test --locked "$@" >"$log" 2>&1; then
    cat "$log" >&2
    die "tests failed; their output is above and in ${log#"$PWD"/}"
  fi
  grep -E '^(test result: |     Running )' "$log"
}

# Themes of tests/proxy that take long or need large packages. tests/matrix runs them, tests/run does not. `prometheus` runs a real Prometheus
# for half a minute, and its Debian package has dozens of dependencies. `foreign_modules` needs PKCS#11 modules and a software TPM.
# `simulator_clients` needs Node.js, and 70 MB of packages.
# shellcheck disable=SC2034 # used by those who source this
readonly long_themes=(prometheus foreign_modules simulator_clients)

# --- what the tests need ----------------------------------------------------------------------------------------------

require_cargo() { has cargo || die "no cargo found; please install a Rust toolchain first: https://rustup.rs"; }

missing_test_packages() {
  { find_module >/dev/null && has softhsm2-util; } || echo softhsm2
  has curl || echo curl
  has openssl || echo openssl
  has cc || echo build-essential
  has ps || echo procps
  # The commands of deploy/connect.md, which a test runs.
  has jq || echo jq
  [[ -n $(compgen -G '/usr/lib/*-linux-gnu/faketime/libfaketimeMT.so.1') ]] || echo libfaketime
  missing_python
}

missing_python() { python3 -c 'import ensurepip' 2>/dev/null || echo python3-venv; }

# Installs Python packages into an environment in the clone. Makes it again if its Python no longer runs.
python_environment() { # directory, requirements, a program that runs when it is complete
  local directory=$1 requirements=$2 sample=$3
  cmp -s "$requirements" "$directory/requirements.txt" && "$directory/bin/$sample" --version >/dev/null 2>&1 && return
  "$directory/bin/python" -c 'import pip' 2>/dev/null || rm -rf "$directory"
  [[ -d $directory ]] || step venv "making a Python environment (10 s)" python3 -m venv "$directory"
  step pip "installing $requirements into $directory (30 s)" \
    "$directory/bin/pip" --quiet --disable-pip-version-check install --requirement "$requirements"
  cp "$requirements" "$directory/requirements.txt"
}

# Builds the proxy, the simulator and the examples for the tests, then the tests. This comes first, so that the summary stays readable.
build_tests() {
  step build "building with the profile dev (4 min the first time, seconds later)" \
    cargo build --quiet --locked --bins --examples
  step test-build "building the tests (1 min the first time)" \
    cargo test --quiet --locked --no-run --lib --bins --tests
}
