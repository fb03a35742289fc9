# shellcheck shell=bash
# The common part of softhsm/dev and tests/bench/run. They source this and set `program` to their name.

say() { printf '%s\n' "$*" >&2; }
die() {
  say "${program:?}: $*"
  exit 1
}

has() { command -v "$1" >/dev/null; }

# shellcheck disable=SC2034 # used by those who source this
readonly no_module="libsofthsm2.so not found; please set SOFTHSM2_MODULE to its path"

find_module() {
  local candidate
  for candidate in ${SOFTHSM2_MODULE:+"$SOFTHSM2_MODULE"} /usr/lib/softhsm/libsofthsm2.so \
    /usr/lib/*/softhsm/libsofthsm2.so /usr/lib64/softhsm/libsofthsm2.so /usr/lib64/pkcs11/libsofthsm2.so \
    /usr/local/lib/softhsm/libsofthsm2.so /opt/homebrew/lib/softhsm/libsofthsm2.so; do
    if [[ -r $candidate ]]; then
      printf '%s\n' "$candidate"
      return
    fi
  done
  return 1
}

install_packages() { # names, separated by blanks or line ends
  local missing
  missing=$(xargs <<<"$1")
  [[ -n $missing ]] || return 0
  [[ $(id -u) == 0 ]] || die "not root, so please install what is missing, then start again:  sudo apt-get install $missing"
  has apt-get || die "no apt-get here; please install what is missing (Debian's names): $missing"
  say "Installing with apt-get: $missing. This usually takes less than a minute."
  # shellcheck disable=SC2086 # a list of words on purpose
  (umask 022 && export DEBIAN_FRONTEND=noninteractive &&
    apt-get -qq update && apt-get -qq install -y --no-install-recommends $missing) >&2
}

# Builds, and sets `binaries` to the directory of the result. softhsm/dev and tests/run build with the profile dev, so that both use the same
# compiled dependencies. Benchmarks build for release.
build() { # profile (dev or release), usual time of a first build, what to build as for cargo build
  local profile=$1 usual=$2 quiet=(--quiet) directory
  shift 2
  [[ ! -t 2 ]] || quiet=()
  say "Building (profile $profile). The first build takes about $usual on two cores, later ones seconds."
  cargo build --profile "$profile" --locked "${quiet[@]}" "$@"
  directory=$(cargo metadata --format-version 1 --no-deps --locked | sed -n 's/.*"target_directory":"\([^"]*\)".*/\1/p')
  [[ $profile == dev ]] && profile=debug
  # shellcheck disable=SC2034 # used by those who source this
  binaries=$directory/$profile
}
