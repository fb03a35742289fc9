//! CreateGrant, ListGrants, ListRetirableGrants, RevokeGrant, RetireGrant.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};

use crate::simulator::api::authorize::{authorize, locate, locate_with};
use crate::simulator::api::grants::parties::{Parties, party};
use crate::simulator::callers::caller::{KmsCall, KmsCaller};
use crate::simulator::crypto::context::EncryptionContext;
use crate::simulator::crypto::random;
use crate::simulator::kms::Kms;
use crate::simulator::policy::{
    PolicyDecision, PolicyRequest, PrincipalMatch, RequestDetails, principal_match,
};
use crate::simulator::state::KmsState;
use crate::simulator::state::grants::{Constraints, Grant, OPERATIONS, is_arn};
use crate::simulator::state::lookup::{AcceptedIds, FoundKey, KeyLocation, find, key_mut};
use crate::simulator::wire::clock::now;
use crate::simulator::wire::exception::{Exception, ExceptionKind, check_dry_run};
use crate::simulator::wire::names::{account_of, root_arn};
use crate::simulator::wire::pages::Paging;
use crate::simulator::wire::{self, base64, check, check_text, need};

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CreateGrantRequest {
    key_id: Option<String>,
    grantee_principal: Option<String>,
    grantee_service_principal: Option<String>,
    retiring_principal: Option<String>,
    retiring_service_principal: Option<String>,
    operations: Option<Vec<String>>,
    constraints: Option<Constraints>,
    name: Option<String>,
    dry_run: Option<bool>,
}

/// CreateGrant.
pub(in crate::simulator) async fn create(
    kms: &Arc<Kms>,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: CreateGrantRequest = wire::parse(body)?;
    let id = need(&request.key_id, "keyId")?;
    let grant = request.grant(&call.caller)?;
    kms.change(|state| {
        let details = RequestDetails {
            grant: Some(grant.properties()),
            ..RequestDetails::default()
        };
        let at = locate_with(state, &call.caller, id, "CreateGrant", details)?;
        find(state, &call.caller, id, AcceptedIds::Keys)?.check_not_pending()?;
        check_dry_run(request.dry_run)?;
        let key = key_mut(state, &at)?;
        // A request that is equal to an existing grant with a name returns that grant.
        let same = key.grants.values().find(|other| other.is_same(&grant));
        let grant = same.cloned().unwrap_or(grant);
        key.grants.insert(grant.id.clone(), grant.clone());
        Ok(json!({ "GrantId": grant.id, "GrantToken": grant.token }))
    })
    .await
}

impl CreateGrantRequest {
    fn grant(&self, caller: &KmsCaller) -> Result<Grant, Exception> {
        let (grantee, retiring) = Parties {
            grantee: [&self.grantee_principal, &self.grantee_service_principal],
            retiring: [&self.retiring_principal, &self.retiring_service_principal],
            constraints: self.constraints.as_ref(),
        }
        .checked()?;
        if let Some(name) = &self.name {
            let is_legal =
                |b: u8| b.is_ascii_alphanumeric() || matches!(b, b':' | b'/' | b'_' | b'-');
            check_text(name, 1..=256, is_legal, "name")?;
        }
        let operations = need(&self.operations, "operations")?;
        let known = operations
            .iter()
            .all(|operation| OPERATIONS.contains(&operation.as_str()));
        check(
            !operations.is_empty() && known,
            "operations",
            &format!("Member must satisfy enum value set: {OPERATIONS:?}"),
        )?;
        Ok(Grant {
            id: crate::hex::encode(&random::bytes::<32>()?),
            token: base64(&random::bytes::<96>()?),
            name: self.name.clone(),
            created: now(),
            grantee,
            retiring,
            issuer: root_arn(&caller.region, &caller.account),
            operations: operations.clone(),
            constraints: self.constraints.clone(),
        })
    }
}

impl Grant {
    fn is_same(&self, other: &Self) -> bool {
        self.name.is_some()
            && (
                &self.name,
                &self.grantee,
                &self.retiring,
                &self.operations,
                &self.constraints,
            ) == (
                &other.name,
                &other.grantee,
                &other.retiring,
                &other.operations,
                &other.constraints,
            )
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ListGrantsRequest {
    key_id: Option<String>,
    grant_id: Option<String>,
    grantee_principal: Option<String>,
    grantee_service_principal: Option<String>,
    retiring_principal: Option<String>,
    retiring_service_principal: Option<String>,
    #[serde(flatten)]
    paging: Paging,
}

/// ListGrants.
pub(in crate::simulator) fn list(
    kms: &Kms,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: ListGrantsRequest = wire::parse(body)?;
    let id = need(&request.key_id, "keyId")?;
    let grantee = [
        &request.grantee_principal,
        &request.grantee_service_principal,
    ];
    let grantee = party(grantee, "grantee")?;
    kms.read(|state| {
        let found = find(state, &call.caller, id, AcceptedIds::Keys)?;
        authorize(
            &found,
            &call.caller,
            "ListGrants",
            &EncryptionContext::default(),
        )?;
        let (wanted, grantee) = (request.grant_id.as_deref(), grantee.as_deref());
        if wanted.is_some_and(|wanted| !found.key.grants.contains_key(wanted)) {
            return Err(grant_not_found());
        }
        let arn = found.arn();
        let grants = found.key.grants.values();
        let selected = grants.filter(|grant| {
            wanted.is_none_or(|id| id == grant.id)
                && grantee.is_none_or(|grantee| grantee == grant.grantee)
        });
        let items = selected.map(|grant| (grant.id.as_str(), grant.to_description(&arn)));
        request.paging.page("Grants", items, 50, 100)
    })
}

/// ListRetirableGrants. The principal is in the caller's account; the keys may be in other accounts.
pub(in crate::simulator) fn list_retirable(
    kms: &Kms,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: ListGrantsRequest = wire::parse(body)?;
    let principal = [
        &request.retiring_principal,
        &request.retiring_service_principal,
    ];
    let principal = party(principal, "retiring")?;
    let principal = principal.ok_or_else(|| {
        ExceptionKind::Validation
            .with_message("Either RetiringPrincipal or RetiringServicePrincipal must be specified.")
    })?;
    // Only the service itself may list the grants of a service principal.
    let is_own = match is_arn(&principal) {
        true => account_of(&principal) == Some(call.caller.account.as_str()),
        false => call.caller.principal == principal,
    };
    kms.read(|state| {
        let grants = grants(state, &call.caller.region);
        let is_selected = |(_, grant): &(FoundKey<'_>, &Grant)| {
            is_own && grant.retiring.as_ref() == Some(&principal)
        };
        let mut selected: Vec<_> = grants.filter(is_selected).collect();
        selected.sort_by(|(_, a), (_, b)| a.id.cmp(&b.id));
        let items = selected
            .iter()
            .map(|(found, grant)| (grant.id.as_str(), grant.to_description(&found.arn())));
        request.paging.page("Grants", items, 50, 100)
    })
}

/// Returns every grant in a Region with its key.
fn grants<'a>(
    state: &'a KmsState,
    wanted_region: &'a str,
) -> impl Iterator<Item = (FoundKey<'a>, &'a Grant)> + use<'a> {
    let region_states = state
        .region_states()
        .filter(move |((_, region), _)| *region == wanted_region);
    let keys = region_states.flat_map(|((account, region), region_state)| {
        let keys = region_state.keys.values();
        keys.map(move |key| FoundKey {
            account,
            region,
            region_state,
            key,
            alias: None,
        })
    });
    keys.flat_map(|found| found.key.grants.values().map(move |grant| (found, grant)))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct EndGrantRequest {
    key_id: Option<String>,
    grant_id: Option<String>,
    grant_token: Option<String>,
    dry_run: Option<bool>,
}

/// RevokeGrant.
pub(in crate::simulator) async fn revoke(
    kms: &Arc<Kms>,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: EndGrantRequest = wire::parse(body)?;
    let (id, grant) = (
        need(&request.key_id, "keyId")?,
        need(&request.grant_id, "grantId")?,
    );
    kms.change(|state| {
        let at = locate(state, &call.caller, id, "RevokeGrant")?;
        let key = key_mut(state, &at)?;
        if !key.grants.contains_key(grant) {
            return Err(grant_not_found());
        }
        check_dry_run(request.dry_run)?;
        key.grants.remove(grant);
        Ok(json!({}))
    })
    .await
}

/// RetireGrant. The request has the grant token, or the key id and the grant id.
pub(in crate::simulator) async fn retire(
    kms: &Arc<Kms>,
    call: &KmsCall,
    body: &[u8],
) -> Result<Value, Exception> {
    let request: EndGrantRequest = wire::parse(body)?;
    kms.change(|state| {
        let (at, id) = request.find_retirable(state, &call.caller)?;
        check_dry_run(request.dry_run)?;
        key_mut(state, &at)?.grants.remove(&id);
        Ok(json!({}))
    })
    .await
}

impl EndGrantRequest {
    /// Returns the key and the id of the grant, if the caller may retire it.
    fn find_retirable(
        &self,
        state: &KmsState,
        caller: &KmsCaller,
    ) -> Result<(KeyLocation, String), Exception> {
        let (found, grant) = match (&self.grant_token, &self.key_id, &self.grant_id) {
            (Some(token), ..) => find_by_token(state, caller, token)?,
            (None, Some(key), Some(id)) => {
                let found = find(state, caller, key, AcceptedIds::Keys)?;
                (found, found.key.grants.get(id).ok_or_else(grant_not_found)?)
            }
            _ => {
                return Err(ExceptionKind::Validation
                    .with_message("Either GrantToken, or KeyId and GrantId must be specified."));
            }
        };
        if !may_retire(&found, grant, caller) {
            let principal = &caller.principal;
            return Err(ExceptionKind::AccessDenied.with_message(format!(
                "User: {principal} may not retire this grant: neither the grant nor a policy allows it"
            )));
        }
        Ok((found.location(), grant.id.clone()))
    }
}

/// Returns whether the caller may retire a grant. These may: the retiring principal, the grantee if RetireGrant is an operation of the
/// grant, and callers that the key policy or an identity policy allows to. A Deny of an identity policy overrides all of them.
fn may_retire(found: &FoundKey<'_>, grant: &Grant, caller: &KmsCaller) -> bool {
    let arn = found.arn();
    let request = PolicyRequest {
        caller: caller.as_policy_caller(),
        action: "RetireGrant",
        resource: &arn,
        key: Some(found),
        details: RequestDetails::default(),
    };
    let decision = caller.properties.evaluate(&request);
    let is_for = |party: &str| match principal_match(party, &request.caller) {
        PrincipalMatch::Direct => party != "*",
        PrincipalMatch::Account => decision == PolicyDecision::Allowed,
        PrincipalMatch::None => false,
    };
    let is_grantee =
        is_for(&grant.grantee) && grant.operations.iter().any(|op| op == "RetireGrant");
    let is_party = is_grantee || grant.retiring.as_deref().is_some_and(is_for);
    let is_allowed =
        || authorize(found, caller, "RetireGrant", &EncryptionContext::default()).is_ok();
    decision != PolicyDecision::Denied && (is_party || is_allowed())
}

fn find_by_token<'a>(
    state: &'a KmsState,
    caller: &'a KmsCaller,
    token: &str,
) -> Result<(FoundKey<'a>, &'a Grant), Exception> {
    let found = grants(state, &caller.region).find(|(_, grant)| grant.token == token);
    found.ok_or_else(|| {
        ExceptionKind::InvalidGrantToken
            .with_message("The grant token does not belong to a grant in this Region.")
    })
}

fn grant_not_found() -> Exception {
    ExceptionKind::NotFound.with_message("The key does not have this grant.")
}
