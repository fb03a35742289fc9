//! Credentials, scope and clock of the requests in `seeds/`.

use std::sync::{Arc, LazyLock};
use std::time::{Duration, SystemTime};

use xks_proxy::sigv4::{
    Credential, Credentials, Denied, PathForm, Scope, SignedRequest, Verifier, fuzzing,
};

/// The credentials, the scope and the time of a verification.
pub struct Setup {
    pub id: &'static str,
    pub secret: &'static str,
    pub scope: Scope<'static>,
    pub now: SystemTime,
    credentials: Credentials,
}

/// A key store of the proxy.
pub static KEY_STORE: LazyLock<Setup> = LazyLock::new(|| {
    let secret = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFG";
    Setup::new(
        "XKSFUZZCREDENTIALAAAA",
        secret,
        Scope {
            region: "eu-west-1",
            service: "kms-xks-proxy",
        },
        1_790_000_000,
    )
});

/// AWS's published signing vectors.
pub static VECTORS: LazyLock<Setup> = LazyLock::new(|| {
    let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
    Setup::new(
        "AKIDEXAMPLE",
        secret,
        Scope {
            region: "us-east-1",
            service: "service",
        },
        1_440_938_160,
    )
});

impl Setup {
    fn new(id: &'static str, secret: &'static str, scope: Scope<'static>, unix_time: u64) -> Self {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(unix_time);
        let credentials = Credentials::new(vec![fuzzing::credential(id, secret)]);
        Self {
            id,
            secret,
            scope,
            now,
            credentials,
        }
    }

    /// The credential, for a signer.
    pub fn credential(&self) -> Credential {
        fuzzing::credential(self.id, self.secret)
    }

    /// Verifies a request as a key store with these credentials does.
    pub fn verify(
        &self,
        request: &SignedRequest<'_>,
        path_form: PathForm,
    ) -> Result<&Arc<Credential>, Denied> {
        let verifier = Verifier {
            credentials: &self.credentials,
            scope: self.scope,
            path_form,
        };
        let verified = verifier.verify(request, self.now)?;
        Ok(verified.credential)
    }
}
