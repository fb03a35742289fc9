//! KMS's exceptions: their names, their HTTP statuses, and the messages that are worded in more than one place.

/// Names each exception once.
macro_rules! kinds {
    ($($kind:ident = $name:literal,)*) => {
        /// An exception of KMS's API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::simulator) enum Kind { $($kind,)* }

        impl Kind {
            /// Its name on the wire.
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

impl Kind {
    /// Its HTTP status: the caller's faults are 400, ours 500.
    pub(in crate::simulator) fn status(self) -> u16 {
        match self {
            Self::KmsInternal => 500,
            _ => 400,
        }
    }

    /// The exception with this message.
    pub(in crate::simulator) fn because(self, message: impl Into<String>) -> Exception {
        let message = message.into();
        Exception {
            kind: self,
            message,
        }
    }
}

/// An answer that is not the one hoped for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::simulator) struct Exception {
    /// Which.
    pub(in crate::simulator) kind: Kind,
    /// For whoever called.
    pub(in crate::simulator) message: String,
}

impl Exception {
    /// The JSON body.
    pub(in crate::simulator) fn body(&self) -> Vec<u8> {
        let body = serde_json::json!({ "__type": self.kind.name(), "message": self.message });
        body.to_string().into_bytes()
    }
}

/// A store that is not there.
pub(in crate::simulator) fn no_store(named: &str) -> Exception {
    Kind::CustomKeyStoreNotFound.because(format!("Custom key store {named} does not exist."))
}

/// What a call that would have succeeded answers when it was only a rehearsal.
pub(in crate::simulator) fn rehearsed(dry_run: Option<bool>) -> Result<(), Exception> {
    match dry_run {
        Some(true) => Err(rehearsal()),
        _ => Ok(()),
    }
}

/// The answer to a rehearsal that went well.
pub(in crate::simulator) fn rehearsal() -> Exception {
    Kind::DryRun.because("The request would have succeeded, but the DryRun option is set.")
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
        assert_eq!(Kind::KmsInternal.status(), 500);
        assert_eq!(Kind::Throttling.status(), 400);
    }

    #[test]
    fn only_a_rehearsal_is_rehearsed() {
        assert!(rehearsed(None).is_ok() && rehearsed(Some(false)).is_ok());
        assert_eq!(rehearsed(Some(true)).unwrap_err().kind, Kind::DryRun);
    }
}
