//! All cases, by section, and the requirements that no case can check.

mod base64;
mod bodies;
mod cdiv;
mod decrypt;
mod deprecated_mtls;
mod encrypt;
mod errors;
mod health;
mod http;
mod key_metadata;
mod request_metadata;
mod signatures;
mod tampered;
mod tls;
mod uris;

use super::case::Case;

/// A requirement that a client cannot check.
pub struct Untestable {
    /// The section of the specification.
    pub section: &'static str,
    /// The requirement.
    pub requirement: &'static str,
    /// The reason why no request shows it.
    pub reason: &'static str,
}

const fn untestable(
    section: &'static str,
    requirement: &'static str,
    reason: &'static str,
) -> Untestable {
    Untestable {
        section,
        requirement,
        reason,
    }
}

/// The requirements without a case.
pub const UNTESTABLE: &[Untestable] = &[
    untestable(
        "2",
        "a health URL for load balancers, without signature and client certificate",
        "the operator chooses its address and port",
    ),
    untestable(
        "5",
        "the AAD given to the HSM is u16be(len AAD), AAD, u8(len MD), MD",
        "only the owner of the key sees these bytes; cases check that both are bound",
    ),
    untestable(
        "5",
        "decrypting an IV of 16 bytes",
        "needs a ciphertext with such an IV; a case checks that the length is accepted",
    ),
    untestable(
        "5",
        "the CDIV is verified by decrypting before the response, and retried",
        "needs an HSM that corrupts data",
    ),
    untestable(
        "5",
        "health really encrypts and decrypts, with a dedicated key, at most a minute ago",
        "needs an HSM that fails on command",
    ),
    untestable(
        "6",
        "429 ThrottlingException over quota",
        "conformance puts no load on a proxy that others use",
    ),
    untestable(
        "6",
        "500 InternalException and 503 DependencyTimeoutException",
        "needs an HSM that fails on command",
    ),
    untestable(
        "6",
        "403 AccessDeniedException",
        "needs a policy that denies, which the operator chooses",
    ),
    untestable(
        "6",
        "an HSM error is never InvalidCiphertextException",
        "needs an HSM that fails on command",
    ),
    untestable(
        "7",
        "signatures are compared in constant time",
        "network jitter hides the difference",
    ),
    untestable(
        "8",
        "plaintext is not logged; logs are protected",
        "needs the proxy's logs",
    ),
];

/// Returns every case, by section.
pub fn all() -> Vec<Case> {
    let groups: [fn() -> Vec<Case>; 15] = [
        tls::cases,
        deprecated_mtls::cases,
        http::cases,
        uris::cases,
        request_metadata::cases,
        bodies::cases,
        base64::cases,
        key_metadata::cases,
        encrypt::cases,
        cdiv::cases,
        decrypt::cases,
        health::cases,
        errors::cases,
        signatures::cases,
        tampered::cases,
    ];
    groups.iter().flat_map(|group| group()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_every_section_has_cases() {
        let cases = all();
        let mut ids: Vec<_> = cases.iter().map(|case| case.id.clone()).collect();
        ids.sort();
        ids.dedup();
        assert_eq!(ids.len(), cases.len());
        for section in ["2", "3", "4", "5", "6", "7"] {
            let count = cases.iter().filter(|case| case.section == section).count();
            assert!(count >= 8, "section {section} has {count} cases");
        }
    }
}
