//! Condition keys: their names, the form of their values, and whether a request can have several values.
//!
//! # Invariants
//! - A policy with a name that is not in the table is rejected.

/// A condition key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::simulator) struct ContextKey {
    pub(super) name: KeyName,
    /// The text after the slash or colon of a key such as `aws:ResourceTag/`; otherwise empty.
    pub(super) part: String,
}

/// The form of the values of a condition key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ValueForm {
    /// Text that the account chooses, such as a tag. Every operator can compare it.
    Free,
    Text,
    Arn,
    Bool,
    Number,
    Date,
    Address,
}

/// Defines the names and the table from one list.
macro_rules! keys {
    ($($name:ident = $text:literal, $form:ident, $several:literal;)*) => {
        /// The name of a condition key.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum KeyName { $($name,)* }

        /// Name, text, form, and whether a request can have several values.
        pub(super) const TABLE: &[(KeyName, &str, ValueForm, bool)] = &[$((KeyName::$name, $text, ValueForm::$form, $several),)*];
    };
}

keys! {
    CallerAccount = "kms:CallerAccount", Text, false;
    CurrentTime = "aws:CurrentTime", Date, false;
    EncryptionAlgorithm = "kms:EncryptionAlgorithm", Text, false;
    EncryptionContext = "kms:EncryptionContext:", Free, false;
    EncryptionContextKeys = "kms:EncryptionContextKeys", Free, true;
    EpochTime = "aws:EpochTime", Date, false;
    GrantConstraintType = "kms:GrantConstraintType", Text, false;
    GrantIsForAwsResource = "kms:GrantIsForAWSResource", Bool, false;
    GrantOperations = "kms:GrantOperations", Text, true;
    GranteePrincipal = "kms:GranteePrincipal", Arn, false;
    KeyOrigin = "kms:KeyOrigin", Text, false;
    KeySpec = "kms:KeySpec", Text, false;
    KeyUsage = "kms:KeyUsage", Text, false;
    LockoutCheckBypass = "kms:BypassPolicyLockoutSafetyCheck", Bool, false;
    MultiRegion = "kms:MultiRegion", Bool, false;
    PendingWindow = "kms:ScheduleKeyDeletionPendingWindowInDays", Number, false;
    PrincipalAccount = "aws:PrincipalAccount", Text, false;
    PrincipalArn = "aws:PrincipalArn", Arn, false;
    PrincipalIsService = "aws:PrincipalIsAWSService", Bool, false;
    PrincipalOrganization = "aws:PrincipalOrgID", Text, false;
    PrincipalService = "aws:PrincipalServiceName", Text, false;
    PrincipalTag = "aws:PrincipalTag/", Free, false;
    PrincipalType = "aws:PrincipalType", Text, false;
    RequestAlias = "kms:RequestAlias", Text, false;
    RequestTag = "aws:RequestTag/", Free, false;
    RequestedRegion = "aws:RequestedRegion", Text, false;
    ResourceAccount = "aws:ResourceAccount", Text, false;
    ResourceAliases = "kms:ResourceAliases", Text, true;
    ResourceTag = "aws:ResourceTag/", Free, false;
    RetiringPrincipal = "kms:RetiringPrincipal", Arn, false;
    SecureTransport = "aws:SecureTransport", Bool, false;
    SourceAccount = "aws:SourceAccount", Text, false;
    SourceArn = "aws:SourceArn", Arn, false;
    SourceIp = "aws:SourceIp", Address, false;
    SourceVpc = "aws:SourceVpc", Text, false;
    SourceVpce = "aws:SourceVpce", Text, false;
    TagKeys = "aws:TagKeys", Free, true;
    User = "aws:username", Text, false;
    ViaService = "kms:ViaService", Text, false;
}

/// Keys whose values the operator can configure for an access key.
const CONFIGURABLE: [KeyName; 10] = [
    KeyName::CurrentTime,
    KeyName::EpochTime,
    KeyName::PrincipalOrganization,
    KeyName::SecureTransport,
    KeyName::SourceAccount,
    KeyName::SourceArn,
    KeyName::SourceIp,
    KeyName::SourceVpc,
    KeyName::SourceVpce,
    KeyName::ViaService,
];

impl ContextKey {
    /// Parses the name of a condition key, without regard to case as AWS does.
    pub(in crate::simulator) fn parse(text: &str) -> Result<Self, String> {
        let found = TABLE.iter().find_map(|(name, known, ..)| {
            let (head, part) = text.split_at_checked(known.len())?;
            let has_part = known.ends_with(['/', ':']);
            let is_it = head.eq_ignore_ascii_case(known) && part.is_empty() != has_part;
            is_it.then(|| Self {
                name: *name,
                part: part.to_owned(),
            })
        });
        found.ok_or_else(|| format!("the simulator does not evaluate the condition key {text}"))
    }

    /// Returns whether a request can have several values.
    pub(super) fn is_multivalued(&self) -> bool {
        self.row().is_some_and(|(.., several)| *several)
    }

    /// Returns the form of the values.
    pub(super) fn form(&self) -> ValueForm {
        self.row().map_or(ValueForm::Text, |(_, _, form, _)| *form)
    }

    /// Returns whether the value can be configured for an access key.
    pub(in crate::simulator) fn is_configurable(&self) -> bool {
        CONFIGURABLE.contains(&self.name)
    }

    fn row(&self) -> Option<&'static (KeyName, &'static str, ValueForm, bool)> {
        TABLE.iter().find(|(name, ..)| *name == self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_condition_keys_ignore_case() {
        for text in ["aws:SourceIp", "AWS:sourceip"] {
            assert_eq!(ContextKey::parse(text).unwrap().name, KeyName::SourceIp);
        }
        let tag = ContextKey::parse("aws:resourcetag/Team").unwrap();
        assert_eq!(
            (tag.name, tag.part.as_str()),
            (KeyName::ResourceTag, "Team")
        );
        let pair = ContextKey::parse("kms:EncryptionContext:a:b").unwrap();
        assert_eq!(
            (pair.name, pair.part.as_str()),
            (KeyName::EncryptionContext, "a:b")
        );
        for bad in [
            "",
            "aws:ResourceTag/",
            "kms:EncryptionContext",
            "aws:SourceIp/x",
            "s3:prefix",
            "aws:MultiFactorAuthAge",
        ] {
            assert!(ContextKey::parse(bad).is_err(), "{bad}");
        }
    }
}
