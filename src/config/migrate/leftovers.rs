//! The settings that have no counterpart, each with what there is instead.

/// Keys of one table.
type Table = [(&'static str, &'static str)];

pub(super) const SERVER: &Table = &[
    (
        "port_http_ping",
        "there is no ping port: admin.listen has /livez and /readyz",
    ),
    (
        "ciphertext_metadata_b64",
        "this proxy writes metadata of its own; ciphertexts that carry the old ones are covered by key_store.legacy_ciphertexts",
    ),
    (
        "tcp_keepalive",
        "no TCP probes: server.limits.idle_timeout closes connections that nobody uses",
    ),
    (
        "tcp_keepalive_secs",
        "no TCP probes: server.limits.idle_timeout closes connections that nobody uses",
    ),
];

pub(super) const TRACING: &Table = &[
    (
        "is_stdout_writer_enabled",
        "the log always goes to standard output",
    ),
    (
        "is_file_writer_enabled",
        "there are no log files: the log goes to standard output, for journald or whatever collects it",
    ),
    ("directory", "there are no log files"),
    ("file_prefix", "there are no log files"),
    (
        "rotation_kind",
        "there are no log files; remove the old proxy's clean-up timer",
    ),
];

pub(super) const PKCS11: &Table = &[
    (
        "session_pool_timeout_milli",
        "no request waits for a session beyond server.limits.request_timeout",
    ),
    (
        "session_eager_close",
        "sessions stay open; those that the device loses are opened again",
    ),
    (
        "context_read_timeout_milli",
        "there is no such lock: a call that hangs is given up at the request's deadline",
    ),
];

pub(super) const PKCS11_LOGGER: &Table = &[
    (
        "PKCS11_LOGGER_LIBRARY_PATH",
        "the logger is not used; where it stood before this library, hsm.module is this library",
    ),
    (
        "PKCS11_LOGGER_LOG_FILE_PATH",
        "the logger is not used: the proxy logs what the device refuses",
    ),
    (
        "PKCS11_LOGGER_FLAGS",
        "the logger is not used: the proxy logs what the device refuses",
    ),
];

pub(super) const LIMITS: &Table = &[
    (
        "max_plaintext_in_base64",
        "server.limits.max_body bounds the whole request; KMS sends far less",
    ),
    (
        "max_aad_in_base64",
        "server.limits.max_body bounds the whole request; KMS sends far less",
    ),
];
