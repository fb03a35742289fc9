//! TLS: versions, server certificates and client certificates.

mod certificate_renewal;
mod certificates;
mod client_certificates;
mod mtls;
mod public_names;
mod tls;
