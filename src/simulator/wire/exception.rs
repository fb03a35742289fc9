//! The exceptions of KMS: their names and HTTP statuses, and the messages that several operations use.

/// Defines the kinds and their names from one list.
macro_rules! kinds {
    ($($kind:ident = $name:literal,)*) => {
        /// An exception of the KMS API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::simulator) enum ExceptionKind { $($kind,)* }

        impl ExceptionKind {
            /// Returns the name in the KMS API.
            pub(in crate::simulator) fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }
        }
    };
}

kinds! {
    AccessDenied = "AccessDeniedException",
    AlreadyExists = "AlreadyExistsException",
    CustomKeyStoreHasCmks = "CustomKeyStoreHasCMKsException",
    CustomKeyStoreInvalidState = "CustomKeyStoreInvalidStateException",
    CustomKeyStoreNameInUse = "CustomKeyStoreNameInUseException",
    CustomKeyStoreNotFound = "CustomKeyStoreNotFoundException",
    Disabled = "DisabledException",
    DryRun = "DryRunOperationException",
    IncompleteSignature = "IncompleteSignatureException",
    IncorrectKey = "IncorrectKeyException",
    InvalidAliasName = "InvalidAliasNameException",
    InvalidArn = "InvalidArnException",
    InvalidCiphertext = "InvalidCiphertextException",
    InvalidGrantToken = "InvalidGrantTokenException",
    InvalidKeyUsage = "InvalidKeyUsageException",
    InvalidMarker = "InvalidMarkerException",
    InvalidSignature = "InvalidSignatureException",
    KmsInternal = "KMSInternalException",
    KmsInvalidState = "KMSInvalidStateException",
    LimitExceeded = "LimitExceededException",
    MalformedPolicy = "MalformedPolicyDocumentException",
    MissingAuthenticationToken = "MissingAuthenticationTokenException",
    NotFound = "NotFoundException",
    Serialization = "SerializationException",
    Tag = "TagException",
    Throttling = "ThrottlingException",
    UnknownOperation = "UnknownOperationException",
    UnrecognizedClient = "UnrecognizedClientException",
    UnsupportedOperation = "UnsupportedOperationException",
    Validation = "ValidationException",
    XksKeyAlreadyInUse = "XksKeyAlreadyInUseException",
    XksKeyInvalidConfiguration = "XksKeyInvalidConfigurationException",
    XksKeyNotFound = "XksKeyNotFoundException",
    XksProxyIncorrectCredential = "XksProxyIncorrectAuthenticationCredentialException",
    XksProxyInvalidConfiguration = "XksProxyInvalidConfigurationException",
    XksProxyInvalidResponse = "XksProxyInvalidResponseException",
    XksProxyUriEndpointInUse = "XksProxyUriEndpointInUseException",
    XksProxyUriInUse = "XksProxyUriInUseException",
    XksProxyUriUnreachable = "XksProxyUriUnreachableException",
    XksProxyVpcEndpointServiceInvalidConfiguration = "XksProxyVpcEndpointServiceInvalidConfigurationException",
    XksProxyVpcEndpointServiceInUse = "XksProxyVpcEndpointServiceInUseException",
    XksProxyVpcEndpointServiceNotFound = "XksProxyVpcEndpointServiceNotFoundException",
}

impl ExceptionKind {
    /// Returns the HTTP status: 500 for an internal error, 400 for all others.
    pub(in crate::simulator) fn status(self) -> u16 {
        match self {
            Self::KmsInternal => 500,
            _ => 400,
        }
    }

    /// Returns the exception with this message.
    pub(in crate::simulator) fn with_message(self, message: impl Into<String>) -> Exception {
        let message = message.into();
        Exception {
            kind: self,
            message,
        }
    }
}

/// The response to a failed request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::simulator) struct Exception {
    /// The kind.
    pub(in crate::simulator) kind: ExceptionKind,
    /// The message for the caller.
    pub(in crate::simulator) message: String,
}

impl Exception {
    /// Returns the body of the response in JSON.
    pub(in crate::simulator) fn body(&self) -> Vec<u8> {
        let body = serde_json::json!({ "__type": self.kind.name(), "message": self.message });
        body.to_string().into_bytes()
    }
}

/// Returns the exception for a store that does not exist.
pub(in crate::simulator) fn no_store(named: &str) -> Exception {
    ExceptionKind::CustomKeyStoreNotFound
        .with_message(format!("Custom key store {named} does not exist."))
}

/// Returns an exception if the request is a dry run. Must be called when all other checks have passed.
pub(in crate::simulator) fn check_dry_run(dry_run: Option<bool>) -> Result<(), Exception> {
    match dry_run {
        Some(true) => Err(dry_run_exception()),
        _ => Ok(()),
    }
}

/// Returns the exception for a dry run that would have succeeded.
pub(in crate::simulator) fn dry_run_exception() -> Exception {
    ExceptionKind::DryRun
        .with_message("The request would have succeeded, but the DryRun option is set.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_are_those_of_json_1_1() {
        let body = no_store("cks-1").body();
        let body: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(body["__type"], "CustomKeyStoreNotFoundException");
        assert!(body["message"].as_str().unwrap().contains("cks-1"));
        assert_eq!(ExceptionKind::KmsInternal.status(), 500);
        assert_eq!(ExceptionKind::Throttling.status(), 400);
    }

    #[test]
    fn only_a_dry_run_ends_with_its_exception() {
        assert!(check_dry_run(None).is_ok() && check_dry_run(Some(false)).is_ok());
        assert_eq!(
            check_dry_run(Some(true)).unwrap_err().kind,
            ExceptionKind::DryRun
        );
    }
}
