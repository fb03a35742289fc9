# shellcheck shell=bash
# The common part of the benchmarks. They source this after softhsm/common.sh, and set `program` and `keep`.

need_number() {
  [[ ${2:-} =~ ^[0-9]{1,5}$ ]] || { say "${program:?}: $1 needs a number"; exit 2; }
}

missing_packages() {
  find_module >/dev/null || echo softhsm2
  has openssl || echo openssl
}

# --- a separate stack -------------------------------------------------------------------------------------------------

# Calls the script's `stop_proxy` at the end.
prepare_directory() {
  work=$(mktemp -d)
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM
}

clean_up() {
  stop_proxy
  if [[ ${keep:?} == yes ]]; then
    say "Kept: $work"
  else
    rm -rf "$work"
  fi
}

make_ca() {
  printf '[req]\ndistinguished_name=dn\nx509_extensions=ext\n[dn]\n[ext]\nsubjectAltName=DNS:localhost,IP:127.0.0.1\n%s\n' \
    basicConstraints=critical,CA:TRUE >"$work/ca.cnf"
  openssl req -x509 -config "$work/ca.cnf" -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days 1 \
    -subj "/CN=xks-proxy bench CA" -keyout "$work/ca.key" -out "$work/ca.pem" 2>/dev/null
}

make_certificate() { # serial number, directory
  printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=critical,CA:FALSE\nextendedKeyUsage=serverAuth\n' >"$work/server.ext"
  openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "/CN=localhost" \
    -keyout "$2/server.key" -out "$work/server.csr" 2>/dev/null
  openssl x509 -req -in "$work/server.csr" -CA "$work/ca.pem" -CAkey "$work/ca.key" -set_serial "$1" -sha256 -days 1 \
    -extfile "$work/server.ext" -out "$2/server.pem" 2>/dev/null
}

make_pins() {
  openssl rand -hex 8 >"$work/pin"
  openssl rand -hex 8 >"$work/so-pin"
}

# Makes the directory of all later tokens.
make_token_directory() { # name
  mkdir "$work/$1"
  printf 'directories.tokendir = %s\nobjectstore.backend = file\nlog.level = ERROR\n' "$work/$1" >"$work/$1.conf"
  export SOFTHSM2_CONF=$work/$1.conf
}

# Prints the environment and the written files of the modules, as lines of an [[hsm]] table.
of_modules() {
  local name variables=() writable=()
  for name in SOFTHSM2_CONF "${!FAULTY_PKCS11_@}"; do
    [[ -n ${!name:-} ]] || continue
    variables+=("$name = \"${!name}\"")
    [[ $name != *_CONTROL* ]] || writable+=("\"${!name}\"")
  done
  writable+=("\"$(sed -n 's/^directories.tokendir = //p' "$SOFTHSM2_CONF")\"")
  local IFS=,
  printf 'environment = { %s }\nwritable = [%s]\n' "${variables[*]}" "${writable[*]}"
}

# Makes a module that tests control. A module is initialized once per process, so each device has copies of both libraries. The control file
# must exist before a worker starts: a sandbox grants access to existing files only.
make_faulty_module() { # name of the device, in lower case
  local variable
  variable=HSM_$(tr '[:lower:]' '[:upper:]' <<<"$1")
  cp "${binaries:?}/examples/libfaulty_pkcs11.so" "$work/hsm-$1.so"
  cp "${module:?}" "$work/softhsm-$1.so"
  export "FAULTY_PKCS11_CONTROL_$variable=$work/control-$1" "FAULTY_PKCS11_MODULE_$variable=$work/softhsm-$1.so"
  : >"$work/control-$1"
}

softhsm_token() { # label of the token, command, options
  local label=$1 command=$2
  shift 2
  "${binaries:?}/examples/softhsm-token" "$command" --module "${module:?}" --token "$label" --pin-file "$work/pin" "$@" >&2
}

# --- figures ----------------------------------------------------------------------------------------------------------

# Prints the processes of a service: the started one and its children.
processes() { # pid
  echo "$1"
  tr ' ' '\n' <"/proc/$1/task/$1/children" 2>/dev/null || true
}

# User and system time of a service in clock ticks. The name in field 2 may contain blanks, so fields count from after its bracket.
cpu_ticks() { # pid
  local process
  for process in $(processes "$1"); do
    sed 's/.*) //' "/proc/$process/stat" 2>/dev/null || true
  done | awk '{ sum += $12 + $13 } END { print sum + 0 }'
}

figure() { sed -n "s/.*\b$1=\([0-9.]*\).*/\1/p" <<<"$2"; } # name, line of figures

# Prints the median of the lines.
middle() { sort -g | awk '{ a[NR] = $1 } END { print NR % 2 ? a[(NR + 1) / 2] : (a[NR / 2] + a[NR / 2 + 1]) / 2 }'; }

# Prints the TCP ports on which a service listens, without reading its log.
listening() { # pid
  local process inode port
  for inode in $(for process in $(processes "$1"); do readlink "/proc/$process/fd/"* 2>/dev/null || true; done |
    sed -n 's/^socket:\[\(.*\)\]$/\1/p'); do
    port=$(awk -v inode="$inode" '$4 == "0A" && $10 == inode { split($2, at, ":"); print at[2] }' /proc/net/tcp)
    [[ -n $port ]] && printf '%d\n' "0x$port"
  done
}

# --- the report -------------------------------------------------------------------------------------------------------

table() {
  printf '\n%-70s %14s %10s %s\n' figure value target result
  local figure value target result
  while IFS=$'\t' read -r figure value target result; do
    # printf counts bytes, and × has two: the padding is computed here.
    printf '%s%*s %14s %*s%s %s\n' "$figure" $((70 - ${#figure})) '' "$value" $((10 - ${#target})) '' "$target" "$result"
  done <"$work/figures"
}

missed() { awk -F '\t' '$4 != "met"' "$work/figures" | wc -l; }

# Prints the table and the former load of the machine. Returns whether every target was met.
report() { # load average
  table
  printf '\nLoad average before the measurement: %s on %s cores. Other work on this machine affects the latencies.\n' "$1" "$(nproc)"
  printf '%s of %s targets missed\n' "$(missed)" "$(wc -l <"$work/figures")"
  [[ $(missed) == 0 ]]
}
