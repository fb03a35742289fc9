//! Who may call, and as whom: `ACCESS_KEY_ID SECRET_ACCESS_KEY PRINCIPAL_ARN` a line.
//!
//! # Invariants
//! - No line of the file is quoted in an error: each holds a secret.

use std::collections::HashMap;

use thiserror::Error;

use super::partition::dns_suffixes;
use crate::secret::Secret;
use crate::sigv4::{Credential, Credentials};

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
    pub(super) fn credentials(&self) -> &Credentials {
        &self.credentials
    }

    /// Every access key id with its principal.
    pub(super) fn callers(&self) -> impl Iterator<Item = (&str, &str)> {
        self.principals
            .iter()
            .map(|(id, principal)| (id.as_str(), principal.as_str()))
    }

    /// The ARN of the principal that has this access key, or the name of the service.
    pub(super) fn principal(&self, access_key_id: &str) -> Option<&str> {
        self.principals.get(access_key_id).map(String::as_str)
    }
}

/// The account of a principal's ARN; none when it is not one.
pub(super) fn account_of(arn: &str) -> Option<&str> {
    let parts: Vec<_> = arn.splitn(6, ':').collect();
    let &["arn", partition, service, "", account, resource] = parts.as_slice() else {
        return None;
    };
    let is_account = account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit());
    let is_resource = match service {
        "iam" => {
            resource == "root" || resource.starts_with("user/") || resource.starts_with("role/")
        }
        "sts" => resource.starts_with("assumed-role/") || resource.starts_with("federated-user/"),
        _ => false,
    };
    (partition.starts_with("aws") && is_account && is_resource).then_some(account)
}

/// Whether a name is that of a service, such as `s3.amazonaws.com`.
pub(super) fn is_service(name: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let is_of = |suffix| {
        name.strip_suffix(suffix)
            .is_some_and(|service| service.ends_with('.'))
    };
    name.len() <= 128 && name.split('.').all(is_label) && dns_suffixes().any(is_of)
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
    fn services_have_the_suffix_of_a_partition() {
        for name in [
            "dynamodb.amazonaws.com",
            "logs.cn-north-1.amazonaws.com.cn",
            "s3.amazonaws.eu",
            "s3.sc2s.sgov.gov",
        ] {
            assert!(is_service(name), "{name}");
        }
        for name in [
            "",
            "amazonaws.com",
            ".amazonaws.com",
            "s3.amazonaws.com.example",
            "s3.notamazonaws.com",
            "a.b.c",
            "s3..amazonaws.com",
        ] {
            assert!(!is_service(name), "{name}");
        }
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
