//! Who may call, and as whom: `ACCESS_KEY_ID SECRET_ACCESS_KEY PRINCIPAL_ARN` a line.
//!
//! # Invariants
//! - No line of the file is quoted in an error: each holds a secret.

use std::collections::HashMap;

use thiserror::Error;

use crate::secret::Secret;
use crate::sigv4::{Credential, Credentials};
use crate::simulator::wire::names::{account_of, is_service};

/// Callers of KMS with their principals.
#[derive(Debug)]
pub struct KmsCredentials {
    credentials: Credentials,
    principals: HashMap<String, String>,
}

/// What is wrong with a credentials file.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CredentialsError {
    /// A line that is not three words.
    #[error("line {0} is not ACCESS_KEY_ID SECRET_ACCESS_KEY PRINCIPAL_ARN")]
    Line(usize),
    /// An id or a secret that AWS would not have made.
    #[error(
        "line {0}: an access key id has 16 to 128 letters and digits, a secret 1 to 128 visible characters"
    )]
    Form(usize),
    /// A principal that is none.
    #[error(
        "line {0}: a principal is arn:aws:iam::ACCOUNT:user/NAME, …:role/NAME, …:root, arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION, or a service such as dynamodb.amazonaws.com"
    )]
    Principal(usize),
    /// An access key id twice.
    #[error("line {0}: the access key id is on another line already")]
    Twice(usize),
    /// Nobody.
    #[error("it names nobody")]
    Empty,
}

impl KmsCredentials {
    /// The callers that a file names. Empty lines and those that begin with `#` say nothing.
    ///
    /// # Errors
    /// [`CredentialsError`], with the line's number.
    pub fn parse(text: &str) -> Result<Self, CredentialsError> {
        let (mut credentials, mut principals) = (Vec::new(), HashMap::new());
        for (number, line) in (1..).zip(text.lines()) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let words: Vec<_> = line.split_whitespace().collect();
            let &[id, secret, principal] = words.as_slice() else {
                return Err(CredentialsError::Line(number));
            };
            let credential = Credential::of_aws(id, Secret::new(secret.to_owned()));
            credentials.push(credential.ok_or(CredentialsError::Form(number))?);
            if account_of(principal).is_none() && !is_service(principal) {
                return Err(CredentialsError::Principal(number));
            }
            let before = principals.insert(id.to_owned(), principal.to_owned());
            if before.is_some() {
                return Err(CredentialsError::Twice(number));
            }
        }
        match credentials.is_empty() {
            true => Err(CredentialsError::Empty),
            false => Ok(Self {
                credentials: Credentials::new(credentials),
                principals,
            }),
        }
    }

    /// For the verification of signatures.
    pub(in crate::simulator) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Every access key id with its principal.
    pub(in crate::simulator) fn callers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.principals
            .iter()
            .map(|(id, principal)| (id.as_str(), principal.as_str()))
    }

    /// The ARN of the principal that has this access key, or the name of the service.
    pub(in crate::simulator) fn principal(&self, access_key_id: &str) -> Option<&str> {
        self.principals.get(access_key_id).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    #[test]
    fn lines_name_callers() {
        let text = format!(
            "# who\n\nAKIAIOSFODNN7EXAMPLE {SECRET} arn:aws:iam::111122223333:user/a\n\
             AKIAIOSFODNN7EXAMPL2\t{SECRET}  arn:aws:sts::111122223333:assumed-role/r/s\n"
        );
        let callers = KmsCredentials::parse(&text).unwrap();
        assert_eq!(
            callers.principal("AKIAIOSFODNN7EXAMPL2"),
            Some("arn:aws:sts::111122223333:assumed-role/r/s")
        );
        assert_eq!(callers.principal("AKIA"), None);
        assert!(!format!("{callers:?}").contains(SECRET));
    }

    #[test]
    fn faults_name_the_line_and_no_secret() {
        let good = format!("AKIAIOSFODNN7EXAMPLE {SECRET} arn:aws:iam::111122223333:root");
        for (text, fault) in [
            ("".to_owned(), CredentialsError::Empty),
            ("# nobody".to_owned(), CredentialsError::Empty),
            (format!("\nAKIA {SECRET}"), CredentialsError::Line(2)),
            (
                good.replace("AKIAIOSFODNN7EXAMPLE", "short"),
                CredentialsError::Form(1),
            ),
            (
                good.replace("11112222", "x"),
                CredentialsError::Principal(1),
            ),
            (
                good.replace(":root", ":group/g"),
                CredentialsError::Principal(1),
            ),
            (format!("{good}\n{good}"), CredentialsError::Twice(2)),
        ] {
            let found = KmsCredentials::parse(&text).unwrap_err();
            assert_eq!(found, fault, "{text}");
            assert!(!found.to_string().contains(SECRET));
        }
    }
}
