//! The settings without a counterpart, each with its replacement.

/// The keys of one table, each with a message.
type Table = [(&'static str, &'static str)];

pub(super) const SERVER: &Table = &[
    (
        "port_http_ping",
        "the proxy has no ping port: admin.listen has /livez and /readyz",
    ),
    (
        "ciphertext_metadata_b64",
        "this proxy writes different metadata; key_store.legacy_ciphertexts permits decryption of ciphertexts with the old metadata",
    ),
    (
        "tcp_keepalive",
        "no TCP probes: server.limits.idle_timeout closes idle connections",
    ),
    (
        "tcp_keepalive_secs",
        "no TCP probes: server.limits.idle_timeout closes idle connections",
    ),
];

pub(super) const TRACING: &Table = &[
    (
        "is_stdout_writer_enabled",
        "the log always goes to standard output",
    ),
    (
        "is_file_writer_enabled",
        "there are no log files: the log goes to standard output, for journald or another collector",
    ),
    ("directory", "there are no log files"),
    ("file_prefix", "there are no log files"),
    (
        "rotation_kind",
        "there are no log files; remove the clean-up timer of the old proxy",
    ),
];

pub(super) const PKCS11: &Table = &[
    (
        "session_pool_timeout_milli",
        "no request waits for a session beyond server.limits.request_timeout",
    ),
    (
        "session_eager_close",
        "sessions stay open; the proxy reopens sessions that the HSM has lost",
    ),
    (
        "context_read_timeout_milli",
        "the proxy has no such lock: at its deadline, a request fails even if the PKCS#11 call still hangs",
    ),
];

pub(super) const PKCS11_LOGGER: &Table = &[
    (
        "PKCS11_LOGGER_LIBRARY_PATH",
        "the logger is not used: hsm.module is the library that the logger calls",
    ),
    (
        "PKCS11_LOGGER_LOG_FILE_PATH",
        "the logger is not used: the proxy logs the errors of the HSM",
    ),
    (
        "PKCS11_LOGGER_FLAGS",
        "the logger is not used: the proxy logs the errors of the HSM",
    ),
];

pub(super) const LIMITS: &Table = &[
    (
        "max_plaintext_in_base64",
        "server.limits.max_body limits the whole request; KMS sends far less",
    ),
    (
        "max_aad_in_base64",
        "server.limits.max_body limits the whole request; KMS sends far less",
    ),
];
