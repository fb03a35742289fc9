//! The credentials file: one caller per line, as `ACCESS_KEY_ID SECRET_ACCESS_KEY PRINCIPAL_ARN`.
//!
//! # Invariants
//! - Errors never quote a line of the file, because each line has a secret.

use std::collections::HashMap;

use thiserror::Error;

use crate::secret::Secret;
use crate::sigv4::{Credential, Credentials};
use crate::simulator::wire::names::{account_of, is_service};

/// The credentials of all callers, with their principals.
#[derive(Debug)]
pub struct KmsCredentials {
    credentials: Credentials,
    principals: HashMap<String, String>,
}

/// An error in a credentials file. The number is that of the line.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CredentialsError {
    /// A line does not have three words.
    #[error("line {0} does not have the form ACCESS_KEY_ID SECRET_ACCESS_KEY PRINCIPAL_ARN")]
    Line(usize),
    /// An access key id or a secret does not have the form of AWS.
    #[error(
        "line {0}: an access key id has 16 to 128 letters and digits, a secret 1 to 128 visible characters"
    )]
    Form(usize),
    /// The third word is not a principal.
    #[error(
        "line {0}: a principal is arn:aws:iam::ACCOUNT:user/NAME, …:role/NAME, …:root, arn:aws:sts::ACCOUNT:assumed-role/ROLE/SESSION, or a service such as dynamodb.amazonaws.com"
    )]
    Principal(usize),
    /// An access key id occurs twice.
    #[error("line {0}: another line has the same access key id")]
    Twice(usize),
    /// The file has no caller.
    #[error("the file has no credentials")]
    Empty,
}

impl KmsCredentials {
    /// Parses a credentials file. Empty lines and lines that begin with `#` are ignored.
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

    /// Returns the credentials for the verification of signatures.
    pub(in crate::simulator) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Returns every access key id with its principal.
    pub(in crate::simulator) fn callers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.principals
            .iter()
            .map(|(id, principal)| (id.as_str(), principal.as_str()))
    }

    /// Returns the principal of an access key: an ARN, or the name of a service.
    pub(in crate::simulator) fn principal(&self, access_key_id: &str) -> Option<&str> {
        self.principals.get(access_key_id).map(String::as_str)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";

    #[test]
    fn each_line_has_one_caller() {
        let text = format!(
            "# callers\n\nAKIAIOSFODNN7EXAMPLE {SECRET} arn:aws:iam::111122223333:user/a\n\
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
    fn errors_have_the_line_number_and_no_secret() {
        let good = format!("AKIAIOSFODNN7EXAMPLE {SECRET} arn:aws:iam::111122223333:root");
        for (text, error) in [
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
            assert_eq!(found, error, "{text}");
            assert!(!found.to_string().contains(SECRET));
        }
    }
}
