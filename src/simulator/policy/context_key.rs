//! Condition keys: their names, the form of their values, and whether a request can have several values of one.
//!
//! # Invariants
//! - A name that is not in the table is an error when the policy is put.

/// A condition key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::simulator) struct Key {
    pub(super) name: Name,
    /// What follows the slash or the colon of a key such as `aws:ResourceTag/`; else empty.
    pub(super) part: String,
}

/// The form of a key's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// Text of the account's choice, such as a tag: every operator can compare it.
    Free,
    Text,
    Arn,
    Bool,
    Number,
    Date,
    Address,
}

/// Names each key once.
macro_rules! keys {
    ($($name:ident = $text:literal, $form:ident, $several:literal;)*) => {
        /// The name of a condition key.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Name { $($name,)* }

        /// Name, text, form, and whether a request can have several values.
        pub(super) const TABLE: &[(Name, &str, Form, bool)] = &[$((Name::$name, $text, Form::$form, $several),)*];
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

/// Keys whose values the operator can set for an access key, because the simulator cannot know them.
const GIVEN: [Name; 10] = [
    Name::CurrentTime,
    Name::EpochTime,
    Name::PrincipalOrganization,
    Name::SecureTransport,
    Name::SourceAccount,
    Name::SourceArn,
    Name::SourceIp,
    Name::SourceVpc,
    Name::SourceVpce,
    Name::ViaService,
];

impl Key {
    /// The key of this name, in any case as at AWS.
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
        found.ok_or_else(|| {
            format!("the condition key {text} is not one that the simulator evaluates")
        })
    }

    /// Whether a request may have several values of it.
    pub(super) fn is_multivalued(&self) -> bool {
        self.row().is_some_and(|(.., several)| *several)
    }

    /// The form of its values.
    pub(super) fn form(&self) -> Form {
        self.row().map_or(Form::Text, |(_, _, form, _)| *form)
    }

    /// Whether its value can be set per access key.
    pub(in crate::simulator) fn can_be_given(&self) -> bool {
        GIVEN.contains(&self.name)
    }

    fn row(&self) -> Option<&'static (Name, &'static str, Form, bool)> {
        TABLE.iter().find(|(name, ..)| *name == self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_read_in_any_case() {
        for text in ["aws:SourceIp", "AWS:sourceip"] {
            assert_eq!(Key::parse(text).unwrap().name, Name::SourceIp);
        }
        let tag = Key::parse("aws:resourcetag/Team").unwrap();
        assert_eq!((tag.name, tag.part.as_str()), (Name::ResourceTag, "Team"));
        let pair = Key::parse("kms:EncryptionContext:a:b").unwrap();
        assert_eq!(
            (pair.name, pair.part.as_str()),
            (Name::EncryptionContext, "a:b")
        );
        for bad in [
            "",
            "aws:ResourceTag/",
            "kms:EncryptionContext",
            "aws:SourceIp/x",
            "s3:prefix",
            "aws:MultiFactorAuthAge",
        ] {
            assert!(Key::parse(bad).is_err(), "{bad}");
        }
    }
}
