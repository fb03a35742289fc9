//! The parties of a grant. A party is either the ARN of a principal or the name of a service principal.

use crate::simulator::state::grants::{Constraints, is_arn};
use crate::simulator::wire::check_text;
use crate::simulator::wire::exception::{Exception, ExceptionKind};
use crate::simulator::wire::patterns::{check_service_principal, check_source_arn};

/// The ARN and the service name in a request. At most one of them may be present.
type PartyNames<'a> = [&'a Option<String>; 2];

/// The parties of a new grant, as the request names them.
pub(in crate::simulator) struct Parties<'a> {
    pub(in crate::simulator) grantee: PartyNames<'a>,
    pub(in crate::simulator) retiring: PartyNames<'a>,
    pub(in crate::simulator) constraints: Option<&'a Constraints>,
}

impl Parties<'_> {
    /// Checks the parties and returns the grantee and the retiring principal.
    pub(in crate::simulator) fn checked(&self) -> Result<(String, Option<String>), Exception> {
        let grantee = party(self.grantee, "grantee")?.ok_or_else(|| {
            ExceptionKind::Validation.with_message(
                "Either GranteePrincipal or GranteeServicePrincipal must be specified.",
            )
        })?;
        let retiring = party(self.retiring, "retiring")?;
        let constraints = self.constraints;
        let source_arn = constraints.and_then(|constraints| constraints.source_arn.as_deref());
        source_arn.map_or(Ok(()), check_source_arn)?;
        match !is_arn(&grantee) && (source_arn.is_none() || retiring.is_none()) {
            false => Ok((grantee, retiring)),
            true => Err(ExceptionKind::Validation.with_message(
                "With GranteeServicePrincipal, a SourceArn constraint and a retiring principal must be specified.",
            )),
        }
    }
}

/// Returns the party that a request names, if any. `role` is `grantee` or `retiring`.
pub(in crate::simulator) fn party(
    [arn, service]: PartyNames<'_>,
    role: &str,
) -> Result<Option<String>, Exception> {
    match (arn, service) {
        (None, None) => return Ok(None),
        (Some(arn), None) => check_principal(arn, &format!("{role}Principal"))?,
        (None, Some(service)) => {
            check_service_principal(service, &format!("{role}ServicePrincipal"))?;
        }
        (Some(_), Some(_)) => {
            return Err(ExceptionKind::Validation.with_message(format!(
                "{role}Principal and {role}ServicePrincipal cannot both be specified."
            )));
        }
    }
    Ok(arn.as_ref().or(service.as_ref()).cloned())
}

fn check_principal(principal: &str, member: &str) -> Result<(), Exception> {
    let is_legal = |b: u8| b.is_ascii_alphanumeric() || b"_+=,.@:/-".contains(&b);
    check_text(principal, 1..=256, is_legal, member)?;
    match is_arn(principal) {
        true => Ok(()),
        false => Err(ExceptionKind::InvalidArn
            .with_message(format!("{member} is not the ARN of a principal."))),
    }
}
