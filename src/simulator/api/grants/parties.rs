//! The parties of a grant: each is a principal by its ARN, or a service principal by its name, and never both.

use crate::simulator::state::grants::{Constraints, is_arn};
use crate::simulator::wire::check_text;
use crate::simulator::wire::exception::{Exception, Kind};
use crate::simulator::wire::patterns::{check_service_principal, check_source_arn};

/// An ARN and the name of a service; a request may have one of the two.
type Named<'a> = [&'a Option<String>; 2];

/// Who gets the permissions of a new grant, and who may retire it.
pub(in crate::simulator) struct Parties<'a> {
    pub(in crate::simulator) grantee: Named<'a>,
    pub(in crate::simulator) retiring: Named<'a>,
    pub(in crate::simulator) constraints: Option<&'a Constraints>,
}

impl Parties<'_> {
    /// Grantee and retiring principal.
    pub(in crate::simulator) fn checked(&self) -> Result<(String, Option<String>), Exception> {
        let grantee = party(self.grantee, "grantee")?.ok_or_else(|| {
            Kind::Validation
                .because("Either GranteePrincipal or GranteeServicePrincipal must be specified.")
        })?;
        let retiring = party(self.retiring, "retiring")?;
        let constraints = self.constraints;
        let source_arn = constraints.and_then(|constraints| constraints.source_arn.as_deref());
        source_arn.map_or(Ok(()), check_source_arn)?;
        match !is_arn(&grantee) && (source_arn.is_none() || retiring.is_none()) {
            false => Ok((grantee, retiring)),
            true => Err(Kind::Validation.because(
                "With GranteeServicePrincipal, a SourceArn constraint and a retiring principal must be specified.",
            )),
        }
    }
}

/// The party that a request names, if any. `role` is `grantee` or `retiring`.
pub(in crate::simulator) fn party(
    [arn, service]: Named<'_>,
    role: &str,
) -> Result<Option<String>, Exception> {
    match (arn, service) {
        (None, None) => return Ok(None),
        (Some(arn), None) => check_principal(arn, &format!("{role}Principal"))?,
        (None, Some(service)) => {
            check_service_principal(service, &format!("{role}ServicePrincipal"))?;
        }
        (Some(_), Some(_)) => {
            return Err(Kind::Validation.because(format!(
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
        false => Err(Kind::InvalidArn.because(format!("{member} is not the ARN of a principal."))),
    }
}
